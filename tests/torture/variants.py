"""The product, broken on purpose: small edits of its real functions, each of which some test has to notice.

What the checkers are checked with. A variant lives in the process that
installs it and nowhere else; the product has no switch for it. An edit names
the text that it replaces, so that it fails where the code has changed.
"""

import importlib
import inspect
import textwrap
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

SLOTS = "tests/faults/test_publisher_slots.py"
UNKNOWN = "tests/faults/test_publisher_unknown.py"
SLEEPERS = "tests/faults/test_publisher_sleepers.py"
COMPACTOR = "tests/unit/test_compactor.py"
READER = "tests/unit/test_log_reader.py"
STORES = "tests/store_contract/test_contract.py"
OPEN = "tests/store_contract/test_open.py"
LOCAL = "tests/store_contract/test_local.py"
LEDGER = "tests/unit/test_ledger.py"
FENCES = "tests/unit/test_journal_fences.py"
CAPTURE = "tests/unit/test_journal_capture.py"
CHECKOUT = "tests/unit/test_checkout.py"
DURABLE = "tests/unit/test_durable.py"
WAL = "tests/unit/test_wal.py"
CRASHES = "tests/unit/test_checkout_crash.py"


@dataclass(frozen=True, slots=True)
class Edit:
    """In the function *place* (``module:name`` or ``module:Class.name``), *old* becomes *new*, less its indentation."""

    place: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A way of being broken: what is *wrong* in words, the *edits*, and the tests of the suite that look at it."""

    name: str
    wrong: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def made(self) -> dict[FunctionType, CodeType]:
        """Return by function what it becomes; ``LookupError`` if it does not have, exactly once, what is edited."""
        sources: dict[FunctionType, str] = {}
        for edit in self.edits:
            function = _function(edit.place)
            source = sources.get(function) or textwrap.dedent(inspect.getsource(function))
            if source.count(edit.old) != 1:
                raise LookupError(f"{self.name}: {edit.place} has {source.count(edit.old)} times {edit.old!r}")
            sources[function] = source.replace(edit.old, edit.new)
        return {function: _compiled(function, source) for function, source in sources.items()}

    def install(self) -> None:
        """Break this process, whoever imported the functions already."""
        for function, code in self.made().items():
            function.__code__ = code


def _function(place: str) -> FunctionType:
    module, _, path = place.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = inspect.getattr_static(found, name)
    found = inspect.unwrap(getattr(found, "fget", None) or getattr(found, "__func__", None) or found)
    assert isinstance(found, FunctionType), place
    return found


def _compiled(function: FunctionType, source: str) -> CodeType:
    # What stands above the function is at work already.
    plain, found = source[source.index("def ") :], dict[str, Any]()
    exec(compile(plain, f"<variant of {function.__qualname__}>", "exec"), dict(function.__globals__), found)  # noqa: S102 - our own source.
    code = found[function.__name__].__code__
    assert isinstance(code, CodeType)
    return code


_PUBLISHER = "confstream.log.publisher:Publisher"
_GENERATION = "confstream.journal.generation"

VARIANTS = (
    Variant(
        "no-fence",
        "a slot is written whether or not it is taken",
        (Edit(f"{_PUBLISHER}._create", "self._store.put(", "self._store.replace("),),
        (f"{SLOTS}::test_p5_a_lower_epoch_in_the_slot_is_adopted_and_superseded",),
    ),
    Variant(
        "higher-epoch-adopted",
        "a writer goes on after one of a higher epoch",
        (Edit(f"{_PUBLISHER}._yield_to", "other.epoch > self.epoch", "False"),),
        (f"{SLOTS}::test_p5_a_higher_epoch_in_the_slot_fences_and_what_is_left_becomes_a_fork",),
    ),
    Variant(
        "epoch-not-raised",
        "a writer starts with the epoch that it found",
        (Edit(f"{_PUBLISHER}.start", "0) + 1", "1)"),),
        (f"{SLOTS}::test_rule_5_an_epoch_is_above_every_one_in_the_log_and_the_heartbeats",),
    ),
    Variant(
        "slot-skipped",
        "after a time-out the next slot is taken",
        (
            Edit(f"{_PUBLISHER}._create", "attempt == _UNKNOWN_RETRIES - 1", "True"),
            Edit(
                f"{_PUBLISHER}.publish",
                "taken = self._create(revision, body)",
                "try:\n"
                "            taken = self._create(revision, body)\n"
                "        except OutcomeUnknownError:\n"
                "            self._in_doubt = None\n"
                "            skipped = replace(self.head.position, number=revision.number)\n"
                "            self.head = replace(self.head, position=skipped)\n"
                "            continue",
            ),
        ),
        (f"{UNKNOWN}::test_p4_a_put_whose_answer_was_lost_is_recognized_as_our_own",),
    ),
    Variant(
        "success-assumed",
        "a time-out counts as success",
        (Edit(f"{_PUBLISHER}._create", "unknown = error\n", "return None\n"),),
        (f"{UNKNOWN}::test_p4_a_put_that_was_never_applied_is_repeated_with_the_same_bytes",),
    ),
    Variant(
        "blind-retry",
        "after a time-out the change is encoded anew, with another write id",
        (
            Edit(
                f"{_PUBLISHER}.publish",
                "taken = self._create(revision, body)",
                "try:\n"
                "            taken = self._create(revision, body)\n"
                "        except OutcomeUnknownError:\n"
                "            self._in_doubt = None\n"
                "            intent = replace(intent, write_id=bytes(reversed(intent.write_id)))\n"
                "            continue",
            ),
            Edit(f"{_PUBLISHER}._create", "attempt == _UNKNOWN_RETRIES - 1", "True"),
        ),
        (f"{UNKNOWN}::test_p4_a_put_whose_answer_was_lost_is_recognized_as_our_own",),
    ),
    Variant(
        "write-id-not-compared",
        "whoever took the slot, it counts as this writer's own",
        (
            Edit(
                "confstream.log.publisher:_same",
                "found.write_id == sent.write_id and found.tree_hash",
                "sent.tree_hash",
            ),
        ),
        (f"{SLOTS}::test_p5_a_lower_epoch_in_the_slot_is_adopted_and_superseded",),
    ),
    Variant(
        "stale-listing-trusted",
        "a writer that slept publishes by its old listing",
        (Edit(f"{_PUBLISHER}._is_listing_old", "return max", "return False and max"),),
        (f"{SLEEPERS}::test_p5_rule_4_a_writer_that_slept_does_not_fill_a_slot_that_was_packed_and_deleted",),
    ),
    Variant(
        "blob-after-revision",
        "a revision is published before the large contents that it names",
        (
            Edit(
                f"{_PUBLISHER}._put_blob",
                "self._store.put(key, body)",
                "self.__dict__.setdefault('_late', {})[key] = body",
            ),
            Edit(
                f"{_PUBLISHER}.publish",
                "            self.supersedes = None\n            return Published(made",
                "            self.supersedes = None\n"
                "            for key, late in self.__dict__.pop('_late', {}).items():\n"
                "                self._store.put(key, late)\n"
                "            return Published(made",
            ),
        ),
        (f"{UNKNOWN}::test_i2_blobs_are_durable_before_the_revision_that_names_them",),
    ),
    Variant(
        "pack-deletes-early",
        "log objects go before the snapshot behind their pack is durable",
        (
            Edit("confstream.compactor:_delete", "check_snapshot(reader.store", "(lambda *_: None)(reader.store"),
            Edit(
                "confstream.compactor:compact",
                "    for number in todo.snapshots:\n        snapshot_at(reader, store, number)\n",
                "",
            ),
            Edit(
                "confstream.compactor:compact",
                "    report = CompactReport(todo",
                "    for number in todo.snapshots:\n"
                "        snapshot_at(reader, store, number)\n"
                "    report = CompactReport(todo",
            ),
            Edit("confstream.compactor.planning:_is_safe", "return plan.", "return True or plan."),
        ),
        (f"{COMPACTOR}::test_p9_nothing_is_deleted_under_a_pack_or_snapshot_that_cannot_be_read",),
    ),
    Variant(
        "grace-ignored",
        "packed log objects go at once",
        (Edit("confstream.compactor.planning:Grace.due", "self.seconds <= 0", "True"),),
        (f"{COMPACTOR}::test_nothing_is_deleted_within_the_grace_period",),
    ),
    Variant(
        "pack-not-read",
        "log objects go without a look at the pack that is to replace them",
        (
            Edit(
                "confstream.compactor:_delete", "return reader.log_object(number).hash == hashes[number]", "return True"
            ),
        ),
        (f"{COMPACTOR}::test_a_stray_inside_a_pack_is_kept_and_reported",),
    ),
    Variant(
        "deletion-not-checked",
        "what packs cover goes, whether or not something else leads to the rest",
        (
            Edit(
                "confstream.compactor.planning:_is_safe",
                "return plan.reachable(rest) == plan.reachable(listing)",
                "return True",
            ),
        ),
        (f"{COMPACTOR}::test_p5_p8_a_snapshot_inside_of_a_pack_stays_where_nothing_else_leads_into_that",),
    ),
    Variant(
        "tree-hash-not-checked",
        "a tree is taken for what its revision names without a look",
        (
            Edit("confstream.log.checkout:assemble", "tree.digest != last.tree_hash", "False"),
            Edit(f"{_PUBLISHER}._advance", "tree.digest != revision.tree_hash", "False"),
        ),
        (f"{READER}::test_p9_a_revision_that_is_whole_and_yet_wrong_is_neither_restored_nor_built_on",),
    ),
    Variant(
        "chain-not-checked",
        "a revision may follow any other",
        (
            Edit("confstream.log.checkout:_replay", "or revision.previous != position.hash", ""),
            Edit("confstream.log.chain:check_link", "not follows or", ""),
        ),
        (f"{READER}::test_p9_a_revision_that_is_whole_and_yet_wrong_is_neither_restored_nor_built_on",),
    ),
    Variant(
        "listing-cache-on",
        "listings are answered from the memory of the storage client",
        (Edit("confstream.store.fsspec:FsspecStore.list", "self._fs.invalidate_cache()", "pass"),),
        (f"{OPEN}::test_p5_what_a_file_system_remembers_of_a_listing_is_never_believed",),
    ),
    Variant(
        "local-create-overwrites",
        "a local replica renames over what is there",
        (Edit("confstream.store.local:LocalStore._give_name", "self._link(", "os.replace("),),
        (f"{STORES}::test_p5_a_second_create_is_refused_and_changes_nothing",),
    ),
    Variant(
        "no-directory-fsync",
        "new names are not synced",
        (Edit("confstream.durable:sync_directory", "        sync(descriptor)", "        pass"),),
        (f"{LOCAL}::test_p4_bytes_are_synced_before_the_name_and_the_name_before_success",),
    ),
    Variant(
        "rename-before-fsync",
        "an object gets its name before its bytes are on the disk",
        (Edit("confstream.store.local:LocalStore._write_temporary", "durable.sync(descriptor)", "pass"),),
        (f"{LOCAL}::test_p4_bytes_are_synced_before_the_name_and_the_name_before_success",),
    ),
    Variant(
        "file-not-synced",
        "the files of a write get their names before their bytes are on the disk",
        (Edit("confstream.durable:create", "        sync(descriptor)", "        pass"),),
        (f"{DURABLE}::test_p4_bytes_are_synced_before_their_name_and_the_name_before_success",),
    ),
    Variant(
        "acknowledged-before-sync",
        "a write returns before the journal is on the disk",
        (Edit("confstream.journal.wal:Wal.sync", "self._sync_descriptor(self._descriptor)", "pass"),),
        (f"{LEDGER}::test_p4_after_a_failed_sync_the_write_did_not_happen_and_the_next_one_does",),
    ),
    Variant(
        "torn-end-kept",
        "the torn end of a journal is left where the next record goes",
        (Edit("confstream.journal.wal:Wal.open", "os.ftruncate(descriptor, end)", "pass"),),
        (f"{WAL}::test_pages_that_a_power_loss_swallowed_out_of_order_end_the_log",),
    ),
    Variant(
        "old-log-removed-first",
        "the old journal goes before the new one counts",
        (
            Edit(
                "confstream.journal.ledger:Ledger._write_checkpoint",
                "    state = self._book.state(",
                "    remove_strays(self._directory, log.wal.path)\n    state = self._book.state(",
            ),
        ),
        (f"{LEDGER}::test_p4_killed_before_the_state_names_the_new_log_everything_is_in_the_old_one",),
    ),
    Variant(
        "slower-write-wins",
        "of two writes of one file the one that is put into place last stays",
        (Edit("confstream.journal.writes:Placer._place_one", "self._placed.get(path, -1) > order", "False"),),
        (
            (
                "tests/unit/test_journal_redo.py::"
                "test_p4_of_two_writes_of_one_file_the_one_that_was_recorded_last_stays_whoever_is_faster"
            ),
        ),
    ),
    Variant(
        "redo-over-edits",
        "a restart completes its writes over what somebody wrote since",
        (Edit("confstream.journal.writes:_redo_one", "if not untouched and not", "if False and not"),),
        ("tests/unit/test_journal_redo.py::test_p1_what_somebody_wrote_since_is_not_replaced",),
    ),
    Variant(
        "redo-over-later",
        "a restart completes writes after which something else was recorded",
        (
            Edit(
                "confstream.journal.writes:redo",
                "if _is_current(chain[-1][1], current.get(path)) and",
                "if True and",
            ),
        ),
        ("tests/unit/test_journal_redo.py::test_p1_what_was_recorded_after_it_is_not_replaced",),
    ),
    Variant(
        "newest-dropped",
        "where waiting revisions are merged, the newest is left out",
        (Edit("confstream.journal.coalesce:_end_run", "changed(tree, run)", "changed(tree, run[:-1] or run)"),),
        (f"{LEDGER}::test_p14_the_oldest_drafts_are_merged_and_the_newest_state_stays",),
    ),
    Variant(
        "fork-not-written",
        "what a fenced writer had is forgotten",
        (Edit("confstream.journal.fork:keep", "    if not is_needed:", "    if True:"),),
        (f"{FENCES}::test_p5_a_fenced_writer_keeps_everything_as_a_fork_and_says_so",),
    ),
    Variant(
        "fence-forgotten",
        "a fenced writer goes on after a restart",
        (Edit("confstream.journal.fork:keep", "if other is not None:\n", "if False:\n"),),
        (f"{FENCES}::test_p5_a_fenced_writer_stands_by_after_a_restart_and_captures_all_the_same",),
    ),
    Variant(
        "deletes-not-captured",
        "a file that is gone stays in the tree",
        (
            Edit(
                "confstream.journal.capture:Capture.some",
                "finding.changes = tuple(diff(before, after))",
                "finding.changes = tuple(one for one in diff(before, after) if one.entry is not None)",
            ),
        ),
        (f"{CAPTURE}::test_only_the_paths_that_are_asked_for_are_looked_at",),
    ),
    Variant(
        "emptiness-believed",
        "an empty directory is recorded over a full one",
        (Edit("confstream.guards:held_back", "before and not after", "False"),),
        (f"{CAPTURE}::test_p10_an_emptied_directory_is_held_back_and_its_return_is_said",),
    ),
    Variant(
        "hash-not-checked",
        "a restore writes what it got, whatever the hash says",
        (Edit("confstream.checkout.stage:_verified", "found != entry.hash.hex()", "False"),),
        (f"{CHECKOUT}::test_p9_a_content_that_is_not_what_its_hash_says_leaves_everything_as_it_is",),
    ),
    Variant(
        "not-staged",
        "a restore writes files into the tree as they come",
        (
            Edit(
                "confstream.checkout.stage:stage",
                "                staged = _fill(",
                "                for one in actions:\n"
                "                    if one.verb in _FILLED and one.entry is not None:\n"
                "                        with durable.opened_parent(descriptor, one.path, listable=True) as where:\n"
                "                            durable.replace(*where, content(one.entry.hash))\n"
                "                staged = _fill(",
            ),
        ),
        (f"{CHECKOUT}::test_p9_a_content_that_is_not_what_its_hash_says_leaves_everything_as_it_is",),
    ),
    Variant(
        "marker-removed-first",
        "the marker of a restore goes before its work is done",
        (
            Edit(
                "confstream.checkout.finish:_Switch.run",
                "            for action in self._marker.actions:",
                "            os.unlink(MARKER, dir_fd=self._state)\n            for action in self._marker.actions:",
            ),
            Edit(
                "confstream.checkout.finish:_Switch.run",
                "    try:\n        os.unlink(MARKER, dir_fd=self._state)\n",
                "    try:\n        pass\n",
            ),
        ),
        (f"{CRASHES}::test_p3_killed_at_any_step_the_next_run_finishes_the_job",),
    ),
    Variant(
        "moved-unnoticed",
        "nobody looks whether a directory was moved away while a restore filled it",
        (Edit("confstream.checkout.place:Place.leave", "self._parent.leave(path)", "self._parent.close()"),),
        (
            (
                "tests/unit/test_checkout_hostile.py::"
                "test_p3_a_directory_that_is_moved_away_while_it_is_filled_ends_the_restore_unfinished"
            ),
        ),
    ),
    Variant(
        "edit-overwritten",
        "what somebody writes while a restore is prepared is replaced",
        (
            Edit("confstream.checkout.stage:_check_paths", "path in expected and", "False and"),
            Edit("confstream.checkout.place:Place._is_edited", "return status", "return False and status"),
        ),
        (f"{CHECKOUT}::test_p1_a_file_edited_after_it_was_scanned_is_refused",),
    ),
    Variant(
        "present-replaced",
        "a configuration that is there counts as missing",
        (Edit("confstream.restorer.decide:decide", "if if_missing and standing not in _GONE:", "if False:"),),
        ("tests/unit/test_restorer_decide.py::test_p1_the_table",),
    ),
    Variant(
        "closes-ignored",
        "a file is taken as soon as it was seen, whether or not it is being written",
        (Edit("confstream.settle:Settler._is_settled", "pending.looked >= pending.since", "True or pending.since"),),
        ("tests/unit/test_settle.py::test_a_closed_file_is_ready_after_the_short_time",),
    ),
    Variant(
        "secrets-shown",
        "a value under a secret key is shown",
        (Edit("confstream.secrecy:is_secret_key", "if any(part in squeezed for part in PARTS):", "if False:"),),
        ("tests/unit/test_masking.py::test_p12_a_secret_on_one_line_is_masked",),
    ),
)
"""All of them; the first words of each are what ``docs/reliability.md`` lists."""


def named(name: str) -> Variant:
    """Return the variant *name*."""
    return next(variant for variant in VARIANTS if variant.name == name)
