-- Bringing frozen bottles back, and who stands by a run.

-- The owner that started the run's process or container and acts on it; NULL where nobody does. The run of an owner that
-- died is taken down by the controller.
ALTER TABLE runs ADD COLUMN supervisor TEXT;

-- One more thing is done about a run: what a freeze has stopped is brought back, once for each freeze.
CREATE TABLE enforcements_with_resume (
    id          INTEGER PRIMARY KEY,
    run_id      TEXT NOT NULL REFERENCES runs (id),
    bottle      TEXT NOT NULL,
    policy      TEXT NOT NULL CHECK (policy IN ('cutoff', 'freeze', 'kill', 'resume')),
    scope       TEXT NOT NULL,
    scope_key   TEXT NOT NULL,
    cause       TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('planned', 'started', 'done', 'failed')),
    detail      TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    block_id    INTEGER NOT NULL,       -- the block may be lifted since
    ordered     INTEGER NOT NULL DEFAULT 0 CHECK (ordered IN (0, 1)),   -- by an operator, not by a spent budget
    UNIQUE (run_id, block_id, policy)
) STRICT;
INSERT INTO enforcements_with_resume
        (id, run_id, bottle, policy, scope, scope_key, cause, state, detail, created_at, finished_at, block_id)
    SELECT id, run_id, bottle, policy, scope, scope_key, cause, state, detail, created_at, finished_at, block_id
    FROM enforcements;
DROP TABLE enforcements;
ALTER TABLE enforcements_with_resume RENAME TO enforcements;
CREATE INDEX enforcements_open ON enforcements (created_at) WHERE state IN ('planned', 'started');
CREATE INDEX enforcements_run ON enforcements (run_id);
