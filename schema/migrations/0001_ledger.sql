-- Runs, holds, usage, budgets and enforcement. Times are unix milliseconds, amounts are tokens.

CREATE TABLE schema_version (
    version    INTEGER PRIMARY KEY,
    applied_at INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
    id              TEXT PRIMARY KEY,
    bottle          TEXT NOT NULL,
    agent           TEXT,
    parent          TEXT,               -- the bottle's ancestors, nearest first, joined by '/'
    credential_hash BLOB NOT NULL,
    launch          TEXT NOT NULL,
    started_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    exit_code       INTEGER
) STRICT;
CREATE INDEX runs_live ON runs (started_at) WHERE finished_at IS NULL;

-- Every scope a run's usage is charged to; rank 0 is the most specific.
CREATE TABLE run_scopes (
    run_id    TEXT NOT NULL REFERENCES runs (id),
    scope     TEXT NOT NULL,
    scope_key TEXT NOT NULL,
    rank      INTEGER NOT NULL,
    PRIMARY KEY (run_id, scope, scope_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_scopes_by_scope ON run_scopes (scope, scope_key, run_id);

-- Processes that may have holds. One lives while it keeps the lock on its file, whatever the clock says.
CREATE TABLE owners (
    id         TEXT PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    pid        INTEGER NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE holds (
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
) STRICT;
CREATE INDEX holds_by_owner ON holds (owner);

CREATE TABLE usage (
    id          INTEGER PRIMARY KEY,
    run_id      TEXT NOT NULL REFERENCES runs (id),
    bottle      TEXT NOT NULL,
    agent       TEXT,
    parent      TEXT,
    provider    TEXT NOT NULL,
    host        TEXT NOT NULL,
    model       TEXT,
    response_id TEXT,
    input       INTEGER NOT NULL,
    output      INTEGER NOT NULL,
    cache_read  INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    reasoning   INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    charged     INTEGER NOT NULL,
    quality     TEXT NOT NULL CHECK (quality IN ('exact', 'recovered', 'estimated', 'held')),
    status      INTEGER NOT NULL,
    stream      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,       -- when its hold was placed: the window it belongs to
    finished_at INTEGER NOT NULL,
    hold_id     TEXT NOT NULL UNIQUE    -- a hold is charged once
) STRICT;
-- Both cover the sums that totals are built from.
CREATE INDEX usage_by_run ON usage (run_id, started_at, provider, charged);
CREATE INDEX usage_by_time ON usage (started_at, provider, charged);

-- Sums over usage since window_start, kept so that a budget is read in one look-up. A row may be deleted at any
-- time: it is built again from usage when it is asked for.
CREATE TABLE totals (
    scope        TEXT NOT NULL,
    scope_key    TEXT NOT NULL,
    provider     TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    charged      INTEGER NOT NULL,
    PRIMARY KEY (scope, scope_key, provider, window_start)
) STRICT, WITHOUT ROWID;

-- Scopes whose egress is stopped. provider is '' and limit_tokens NULL when an operator stopped it.
CREATE TABLE blocks (
    id           INTEGER PRIMARY KEY,
    scope        TEXT NOT NULL,
    scope_key    TEXT NOT NULL,
    provider     TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    window_end   INTEGER,
    policy       TEXT NOT NULL CHECK (policy IN ('cutoff', 'freeze', 'kill')),
    cause        TEXT NOT NULL,
    limit_tokens INTEGER,
    spent        INTEGER,
    since        INTEGER NOT NULL,
    UNIQUE (scope, scope_key, provider, window_start)
) STRICT;

CREATE TABLE enforcements (
    id           INTEGER PRIMARY KEY,
    run_id       TEXT NOT NULL REFERENCES runs (id),
    bottle       TEXT NOT NULL,
    policy       TEXT NOT NULL CHECK (policy IN ('cutoff', 'freeze', 'kill')),
    scope        TEXT NOT NULL,
    cause        TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('planned', 'started', 'done', 'failed')),
    detail       TEXT NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    scope_key    TEXT NOT NULL,
    provider     TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    limit_tokens INTEGER NOT NULL,
    -- One crossing acts once on a run. A raised limit that is spent in turn is another crossing.
    UNIQUE (run_id, scope, scope_key, provider, window_start, limit_tokens)
) STRICT;
CREATE INDEX enforcements_open ON enforcements (created_at) WHERE state IN ('planned', 'started');
