-- What rules count in windows of the calendar. `used` has in it what is reserved: what is never settled stays counted.
CREATE TABLE counters (
    scope        TEXT NOT NULL CHECK (scope IN ('run', 'agent', 'bottle', 'global')),
    scope_key    TEXT NOT NULL,                 -- '' when global, and for agents without a name
    name         TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    window_end   INTEGER NOT NULL,
    used         INTEGER NOT NULL CHECK (used >= 0),
    PRIMARY KEY (scope, scope_key, name, window_start, window_end)
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (window_end);

-- What a request that is under way has added, so that it can be given back. Without its owner nobody does.
CREATE TABLE counter_reservations (
    id           TEXT NOT NULL,
    step         INTEGER NOT NULL,
    owner        TEXT NOT NULL,
    scope        TEXT NOT NULL,
    scope_key    TEXT NOT NULL,
    name         TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    window_end   INTEGER NOT NULL,
    added        INTEGER NOT NULL CHECK (added >= 0),
    PRIMARY KEY (id, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX counter_reservations_by_owner ON counter_reservations (owner);
CREATE INDEX counter_reservations_by_end ON counter_reservations (window_end);
