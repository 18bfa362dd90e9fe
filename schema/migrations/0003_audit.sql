-- What was decided and charged, in order. Each row's hash covers the row and the hash before it (see ledger::audit).

CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,      -- 1, 2, 3, …
    ts        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    actor     TEXT NOT NULL,
    bottle    TEXT,
    data      TEXT NOT NULL,            -- JSON
    prev_hash BLOB NOT NULL,
    hash      BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only ever appended to'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only ever appended to'); END;
