-- Decisions that people make on one action each, and bounded standing permissions.

CREATE TABLE approvals (
    seq                 INTEGER PRIMARY KEY AUTOINCREMENT,      -- the order they were asked in; never given twice
    id                  TEXT NOT NULL UNIQUE,
    kind                TEXT NOT NULL CHECK (kind IN ('confirm', 'http', 'dlp', 'route', 'budget', 'mcp')),
    bottle              TEXT NOT NULL,
    session_key         TEXT,
    requester           TEXT NOT NULL,          -- never one of those who decide
    action              TEXT NOT NULL,
    rate_key            TEXT NOT NULL,          -- the action as it is counted: not the agent's to choose
    target              TEXT NOT NULL,
    finding             TEXT,
    tier                INTEGER NOT NULL CHECK (tier BETWEEN 0 AND 4),
    description         TEXT NOT NULL,
    details_redacted    TEXT NOT NULL,          -- JSON
    fingerprint         BLOB NOT NULL CHECK (length(fingerprint) = 32),
    policy_rev          TEXT NOT NULL,
    rule_id             TEXT,
    rule_hash           TEXT,
    approvers           INTEGER NOT NULL,       -- how many different people must approve
    status              TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'consumed', 'denied', 'expired',
                                                        'cancelled', 'revoked', 'auto_approved')),
    created_at          INTEGER NOT NULL,
    decision_expires_at INTEGER NOT NULL,
    use_ttl             INTEGER NOT NULL,       -- from the approval on
    use_expires_at      INTEGER,
    decided_at          INTEGER,
    decided_by          TEXT,
    decided_via         TEXT,
    claimed_by          TEXT,                   -- what the body of the decision called its author; proves nothing
    reason              TEXT,
    attempt             INTEGER NOT NULL DEFAULT 0,     -- uses begun; more than one only after uses that were not sent
    consumed_at         INTEGER,
    execution_status    TEXT CHECK (execution_status IN ('started', 'executed', 'failed', 'unknown', 'not_sent')),
    execution_detail    TEXT,
    dedupe_count        INTEGER NOT NULL DEFAULT 0,     -- asked again while it was pending
    coalesced_into      TEXT,                   -- the approval that took its place
    grant_id            TEXT,                   -- the grant that let it through
    withdrawn           INTEGER NOT NULL DEFAULT 0 CHECK (withdrawn IN (0, 1)), -- a use that is rolled back ends it
    ended_at            INTEGER                 -- NULL while it can still be decided or used
) STRICT;
CREATE INDEX approvals_by_fingerprint ON approvals (bottle, fingerprint, status);
CREATE INDEX approvals_asked ON approvals (bottle, created_at) WHERE status <> 'auto_approved';
CREATE INDEX approvals_undecided ON approvals (decision_expires_at) WHERE status = 'pending';
CREATE INDEX approvals_undecided_of ON approvals (bottle, decision_expires_at) WHERE status = 'pending';
CREATE INDEX approvals_unused ON approvals (use_expires_at) WHERE status = 'approved';
CREATE INDEX approvals_ended ON approvals (ended_at) WHERE ended_at IS NOT NULL;

-- Whatever a program does: nothing that has ended is ever decided or used again.
CREATE TRIGGER approvals_are_not_rearmed BEFORE UPDATE OF status ON approvals
    WHEN NEW.status <> OLD.status AND NOT (
        (OLD.status = 'pending' AND NEW.status IN ('approved', 'denied', 'expired', 'cancelled'))
        OR (OLD.status = 'approved' AND NEW.status IN ('consumed', 'expired', 'revoked'))
        OR (OLD.status = 'consumed' AND OLD.execution_status = 'started' AND NEW.status IN ('approved', 'revoked')))
    BEGIN SELECT RAISE(ABORT, 'an approval has no such transition'); END;

-- Who has approved what still waits for more.
CREATE TABLE approval_votes (
    approval_id TEXT NOT NULL,
    actor       TEXT NOT NULL,
    PRIMARY KEY (approval_id, actor)
) STRICT, WITHOUT ROWID;

-- Every step of every approval; each is a row of the audit as well, whose chain covers it.
CREATE TABLE approval_events (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    ts          INTEGER NOT NULL,
    approval_id TEXT NOT NULL,
    type        TEXT NOT NULL,
    actor       TEXT NOT NULL,
    via         TEXT NOT NULL,
    data        TEXT NOT NULL,                  -- JSON
    audit_seq   INTEGER NOT NULL UNIQUE
) STRICT;
CREATE INDEX approval_events_of ON approval_events (approval_id, seq);
CREATE TRIGGER approval_events_are_not_changed BEFORE UPDATE ON approval_events
    BEGIN SELECT RAISE(ABORT, 'the events of approvals are only ever appended to'); END;
CREATE TRIGGER approval_events_are_not_shortened BEFORE DELETE ON approval_events
    BEGIN SELECT RAISE(ABORT, 'the events of approvals are only ever appended to'); END;

CREATE TABLE grants (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    scope       TEXT NOT NULL CHECK (scope IN ('global', 'bottle', 'session')),
    bottle      TEXT NOT NULL,                  -- '' when global
    session_key TEXT NOT NULL,                  -- '' unless of a session
    kind        TEXT NOT NULL CHECK (kind IN ('confirm', 'http', 'dlp', 'route', 'budget', 'mcp')),
    action      TEXT NOT NULL,
    target      TEXT,                           -- NULL: any
    finding     TEXT,
    max_uses    INTEGER,                        -- NULL: any number
    uses        INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,                        -- NULL only for those of the files
    created_by  TEXT NOT NULL,
    created_via TEXT NOT NULL,
    reason      TEXT,
    revoked_at  INTEGER,
    revoked_by  TEXT,
    CHECK (finding IS NULL OR target IS NOT NULL)
) STRICT;
CREATE INDEX grants_standing ON grants (kind, action) WHERE revoked_at IS NULL;
