-- Limits that the operator sets while Hudson runs, the warnings that were given, and crossings told apart.

-- Takes the place of what the files and the launch say for that scope and provider.
CREATE TABLE budget_overrides (
    scope     TEXT NOT NULL,
    scope_key TEXT NOT NULL,
    provider  TEXT NOT NULL,
    tokens    INTEGER NOT NULL,
    set_at    INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    PRIMARY KEY (scope, scope_key, provider)
) STRICT, WITHOUT ROWID;

-- One warning for each limit, window and threshold, whoever finds that it was passed.
CREATE TABLE budget_warnings (
    scope        TEXT NOT NULL,
    scope_key    TEXT NOT NULL,
    provider     TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    limit_tokens INTEGER NOT NULL,
    percent      INTEGER NOT NULL,
    spent        INTEGER NOT NULL,
    warned_at    INTEGER NOT NULL,
    PRIMARY KEY (scope, scope_key, provider, window_start, limit_tokens, percent)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the id of a block that was lifted is never given to another, so that it tells crossings apart.
CREATE TABLE blocks_by_id (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
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
INSERT INTO blocks_by_id
    SELECT id, scope, scope_key, provider, window_start, window_end, policy, cause, limit_tokens, spent, since
    FROM blocks;

-- One crossing acts once on a run, and a limit that is raised and lowered again is crossed again: what was enforced is
-- the block, not the number of its limit.
CREATE TABLE enforcements_by_block (
    id          INTEGER PRIMARY KEY,
    run_id      TEXT NOT NULL REFERENCES runs (id),
    bottle      TEXT NOT NULL,
    policy      TEXT NOT NULL CHECK (policy IN ('cutoff', 'freeze', 'kill')),
    scope       TEXT NOT NULL,
    scope_key   TEXT NOT NULL,
    cause       TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('planned', 'started', 'done', 'failed')),
    detail      TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    block_id    INTEGER NOT NULL,       -- the block may be lifted since
    UNIQUE (run_id, block_id)
) STRICT;
INSERT INTO enforcements_by_block
    SELECT id, run_id, bottle, policy, scope, scope_key, cause, state, detail, created_at, finished_at,
        -- Of a block that was lifted before blocks were told apart nothing is left; no id is below zero.
        ifnull((SELECT blocks.id FROM blocks
                WHERE (blocks.scope, blocks.scope_key, blocks.provider, blocks.window_start, blocks.limit_tokens)
                    = (enforcements.scope, enforcements.scope_key, enforcements.provider, enforcements.window_start,
                       enforcements.limit_tokens)),
               -enforcements.id)
    FROM enforcements;

DROP TABLE blocks;
ALTER TABLE blocks_by_id RENAME TO blocks;
DROP TABLE enforcements;
ALTER TABLE enforcements_by_block RENAME TO enforcements;
CREATE INDEX enforcements_open ON enforcements (created_at) WHERE state IN ('planned', 'started');
