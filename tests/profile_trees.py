"""What the directories of applications look like, path by path, and what of them must be tracked."""

from pathlib import Path

# What the directory of each application looks like, a path each line: "+" is tracked, "-" is not. Behind a "|" is the
# content, else there is some. A file whose content is SQLite's is left out by its first bytes, not by its name.
TREES = {
    "frigate": """
        + config.yml | mqtt:\\n  host: broker\\ncameras:\\n  door: {}\\n
        + backup_config.yaml
        + go2rtc_homekit.yml
        + .jwt_secret
        + notifications.pem
        + .runtime_state.json
        + .profiles
        + labelmap.txt
        + mqtt/ca.crt
        + go2rtc_presets/a.yaml
        - config.yml.lock
        - config.yml.backup.20260227
        - frigate.db
        - frigate.db-wal
        - frigate.db-shm
        - backup.db
        - .frigate.db-litestream/generation
        - model_cache/yolo/model.onnx
        - memray_reports/a.bin
        - media_sync/orphans.txt
        - custom-ffmpeg/bin/ffmpeg
        - go2rtc
        - .vacuum
        - .timeline
        - .exports
        - .search_stats.json
        - lost+found/x
    """,
    "home-assistant": """
        + configuration.yaml | default_config:\\nautomation: !include automations.yaml\\n
        + automations.yaml
        + scripts.yaml
        + scenes.yaml
        + secrets.yaml
        + .HA_VERSION
        + .storage/auth
        + .storage/core.config_entries
        + .storage/lovelace.dashboard_tmp
        + .storage/onboarding
        + packages/light.yaml
        + blueprints/automation/motion.yaml
        + themes/dark.yaml
        + custom_components/hacs/manifest.json
        + custom_components/hacs/__init__.py
        + www/card.js
        + image/4f2c/original
        + esphome/door.yaml
        + zigbee2mqtt/database.db
        + tmp_scripts/a.yaml
        - esphome/.esphome/build/door/firmware.bin
        - custom_components/hacs/__pycache__/x.pyc
        - home-assistant_v2.db
        - home-assistant_v2.db-wal
        - home-assistant_v2.db.corrupt.2026-02-27T09:30:00
        - zigbee.db-wal
        - home-assistant.log
        - home-assistant.log.1
        - .ha_run.lock
        - .cloud/production_auth.json
        - backups/a.tar
        - tmp_backups/b.tar
        - tts/hello.mp3
        - deps/lib/x.py
        - .storage/tmp3k_2hx9a
        - .storage/core.restore_state.corrupt.2026-02-27
        - tmpa1b2c3d4
    """,
    "zigbee2mqtt": """
        + configuration.yaml | homeassistant:\\n  enabled: true\\nserial:\\n  port: /dev/ttyUSB0\\n
        + devices.yaml
        + groups.yaml
        + secret.yaml
        + database.db | {"id":1,"type":"Coordinator"}\\n
        + database.db.backup
        + coordinator_backup.json
        + configuration_backup_v3.yaml
        + external_converters/plug.mjs
        + external_extensions/x.mjs
        - external_converters/node_modules/a/index.js
        - database.db.tmp
        - state.json
        - log/2026-02-27/log.log
        - ota/images/lamp.ota
    """,
    "node-red": """
        + flows.json | []
        + flows_cred.json
        + settings.js
        + package.json
        + package-lock.json
        + .config.runtime.json
        + .config.nodes.json
        + .config.users.json
        + lib/flows/mine.json
        + projects/house/flows.json
        - node_modules/node-red-dashboard/index.js
        - .npm/_cacache/x
        - flows.json.$$$
        - .flows.json.backup
        - .config.nodes.json.backup
        - .sessions.json
    """,
    "esphome": """
        + living room.yaml | substitutions:\\n  name: living\\nesphome:\\n  name: $name\\n
        + secrets.yaml
        + common/wifi.yaml
        + fonts/roboto.ttf
        + archive/old.yaml
        + .gitignore
        + components/build/sensor.py
        - .esphome/build/living/firmware.bin
        - .esphome/storage/living.yaml.json
        - living/.pioenvs/x.o
        - build/living/firmware.bin
    """,
    "adguardhome": """
        + conf/AdGuardHome.yaml
        + work/userscript.sh
        - conf/.AdGuardHome.yaml123456789
        - work/data/querylog.json
        - work/data/stats.db
        - work/data/sessions.db
        - work/data/filters/1.txt
        - work/agh-backup/AdGuardHome.yaml
    """,
    "arr": """
        + config.xml | <Config>\\n  <ApiKey>testing</ApiKey>\\n</Config>
        + asp/key-1.xml
        + scripts/notify.sh
        - sonarr.db
        - sonarr.db-wal
        - sonarr.db-shm
        - logs.db
        - radarr.db
        - logs/sonarr.txt
        - MediaCover/1/poster.jpg
        - Backups/scheduled/a.zip
        - Sentry/x
        - sonarr.pid
    """,
    "traefik": """
        + traefik.yml
        + dynamic/routers.yml
        + dynamic/middlewares.toml
        + acme.json
        + certs/site.key
        - access.log
        - plugins-storage/sources/x.zip
    """,
    "generic": """
        + prometheus.yml
        + rules/alerts.yml
        + data.db | text, whatever the name says
        - queries.log
        - a.tmp
    """,
}


def parsed(name: str) -> dict[str, tuple[bool, str]]:
    """Return the paths of a tree, whether each is tracked, and its content."""
    found = {}
    for line in TREES[name].strip().splitlines():
        entry, _, content = line.strip().partition(" | ")
        found[entry[2:]] = (entry[0] == "+", content.replace("\\n", "\n") or "x\n")
    return found


def make(root: Path, name: str, *, tracked_only: bool = False) -> Path:
    for path, (tracked, content) in parsed(name).items():
        if tracked or not tracked_only:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content, encoding="utf-8")
    return root
