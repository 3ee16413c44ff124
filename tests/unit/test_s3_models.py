"""A session that holds less than botocore's own does everything that S3 and its credentials take."""

from pathlib import Path
from typing import Any

import pytest
from botocore.model import ServiceModel
from botocore.regions import EndpointResolver
from botocore.session import Session

from confstream.store.s3_client import S3Client
from confstream.store.s3_models import small_session


def test_every_endpoint_of_s3_and_of_what_credentials_come_from_is_the_one_that_botocore_finds() -> None:
    whole, small = (EndpointResolver(one.get_data("endpoints")) for one in (Session(), small_session({})))
    asked = [
        (service, partition, region)
        for service in ("s3", "sts", "sso", "portal.sso", "oidc")
        for partition in whole.get_available_partitions()
        for region in [*whole.get_available_endpoints("ec2", partition), "aws-global", "nowhere-1"]
    ]

    for service, partition, region in asked:
        found = small.construct_endpoint(service, region, partition)
        assert found == whole.construct_endpoint(service, region, partition)
    assert len(asked) > 200
    assert small.get_available_partitions() == whole.get_available_partitions()


def test_p14_what_other_services_have_is_not_held() -> None:
    session = small_session({})

    services = {name for one in session.get_data("endpoints")["partitions"] for name in one["services"]}

    assert services == {"s3", "sts", "sso", "portal.sso", "oidc"}


@pytest.mark.parametrize("name", ["PutObject", "GetObject", "ListObjectsV2", "DeleteObject", "DeleteObjects"])
def test_what_the_store_asks_for_is_described_as_botocore_does(name: str) -> None:
    whole, small = (
        ServiceModel(one.get_component("data_loader").load_service_model("s3", "service-2"))
        for one in (Session(), small_session({}))
    )

    for shape in ("input_shape", "output_shape"):
        assert _described(getattr(small.operation_model(name), shape)) == _described(
            getattr(whole.operation_model(name), shape)
        )
    assert {one.name for one in small.error_shapes} == {one.name for one in whole.error_shapes}
    assert len(small.operation_names) < 10 < len(whole.operation_names)


def _described(shape: Any) -> Any:
    """Return all that is known of *shape* and of what it is made of."""
    if shape is None:
        return None
    members = {name: _described(each) for name, each in getattr(shape, "members", {}).items()}
    return (
        shape.name,
        shape.type_name,
        shape.serialization,
        shape.metadata,
        members,
        _described(getattr(shape, "member", None)),
    )


def test_a_model_of_the_users_own_is_read_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endpoints.json").write_text('{"partitions": [], "version": 3}')
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))

    assert small_session({}).get_data("endpoints") == Session().get_data("endpoints")


def test_files_of_another_form_are_left_to_botocore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endpoints.json").write_text('{"regions": {"nowhere-1": {}}, "version": 4}')
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))

    assert small_session({}).get_data("endpoints") == {"regions": {"nowhere-1": {}}, "version": 4}


def test_a_session_that_was_given_is_the_one_that_is_used() -> None:
    given = small_session({})

    client = S3Client({"session": given, "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}, "anon": True}, 5.0)

    assert client._connected().session is given
