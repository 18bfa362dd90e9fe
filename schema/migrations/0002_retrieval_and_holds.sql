-- Work that is read by its provider's id is charged only where its creation was not.
CREATE INDEX usage_by_response ON usage (host, response_id) WHERE response_id IS NOT NULL;

-- Holds are few and live briefly: one tree instead of three is what a request waits for.
CREATE TABLE holds_in_one (
    id         TEXT PRIMARY KEY,
    run_id     TEXT NOT NULL REFERENCES runs (id),
    provider   TEXT NOT NULL,
    tokens     INTEGER NOT NULL,        -- charged tokens reserved
    owner      TEXT NOT NULL,
    expires_at INTEGER NOT NULL,        -- for people; nothing is decided by it
    host       TEXT NOT NULL,
    model      TEXT,
    stream     INTEGER NOT NULL,
    input      INTEGER NOT NULL,        -- raw tokens
    output     INTEGER NOT NULL,        -- raw tokens granted
    placed_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO holds_in_one
    SELECT id, run_id, provider, tokens, owner, expires_at, host, model, stream, input, output, placed_at FROM holds;
DROP TABLE holds;
ALTER TABLE holds_in_one RENAME TO holds;
