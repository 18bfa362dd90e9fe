-- What is to be told outside, written in the transaction of what it tells, and kept until it is delivered or given up.

CREATE TABLE notify_outbox (
    id           TEXT NOT NULL,         -- the same in every channel and at every attempt
    channel      TEXT NOT NULL,         -- '' until a process that knows the settings says who is told
    kind         TEXT NOT NULL,
    payload      TEXT NOT NULL,         -- JSON, as it is sent
    created_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_at      INTEGER NOT NULL,      -- when it is tried next; while it is being delivered, when others may take over
    delivered_at INTEGER,
    failed_at    INTEGER,
    error        TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (id, channel)
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_outbox_open ON notify_outbox (next_at) WHERE delivered_at IS NULL AND failed_at IS NULL;
