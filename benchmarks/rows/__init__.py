"""The questions, by name: the module and the function that answers each. Imported when they are asked."""

ROWS = {
    "present": "present:measure",
    "restore": "restore:measure",
    "past": "past:measure_restore",
    "change": "change:measure",
    "second-write": "second_write:measure",
    "idle": "idle:measure",
    "bytes": "past:measure_bytes",
    "write": "writing:measure",
    "threads": "writing:measure_threads",
    "scan": "many:measure_scan",
    "change-many": "change:measure_many",
    "change-many-peers": "many:measure_once",
    "restore-many": "restore:measure_many",
    "looking": "looking:measure",
    "long": "looking:measure_long",
}
