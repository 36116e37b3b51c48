-- All times are milliseconds since 1970, UTC. Of the first four indexes a row stands in exactly one
-- at a time, so future and finished jobs cost nothing when the next one is found.

CREATE TABLE {table} (
  id          INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, so that it can fence
  state       INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN -1 AND 6),
              -- -1 waiting for a place of its limit_key,
              -- 0 scheduled or waiting to retry, 1 ready, 2 running, 3 unloadable,
              -- 4 succeeded, 5 failed, 6 cancelled
  queue       TEXT    NOT NULL DEFAULT 'default',
  priority    INTEGER NOT NULL DEFAULT 50,       -- lower runs first
  run_at      INTEGER CHECK (run_at IS NOT NULL OR state >= 4),
  attempts    INTEGER NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 1000000000),
  crashes     INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),
  locked_at   INTEGER,
  locked_by   TEXT CHECK ((locked_by IS NOT NULL) = (state = 2)),
  last_error  TEXT,
  failed_at   INTEGER,
  finished_at INTEGER CHECK ((finished_at IS NOT NULL) = (state >= 4)),
  expires_at  INTEGER CHECK (expires_at IS NULL OR state >= 4), -- goes then; NULL: see retention
  unique_key  TEXT,
  key_period  INTEGER CHECK (key_period IS NULL OR unique_key IS NOT NULL),
              -- milliseconds after a success in which the key is still taken
  limit_key   TEXT,                              -- at most limit_max of it are ready or running
  limit_max   INTEGER,
  cancel_at   INTEGER,                           -- when it was asked to end, while it ran
  created_at  INTEGER NOT NULL
              DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
  updated_at  INTEGER NOT NULL
              DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
  handler     TEXT NOT NULL,                     -- JSON: name, path, args, kwargs, module
  result      TEXT,                              -- JSON: what it returned
  progress    TEXT                               -- JSON: done, total, note; of what runs or is kept
) STRICT;

CREATE INDEX {table}_ready      ON {table} (queue, priority, run_at) WHERE state = 1;

CREATE INDEX {table}_scheduled  ON {table} (run_at)      WHERE state = 0;

CREATE INDEX {table}_running    ON {table} (locked_by)   WHERE state = 2;

-- In the next two NOT BETWEEN: beside `state >= 3` SQLite may seek by that rather than by the one
-- state that is asked for, and NOT IN makes a list of the values for each row that is written.

-- What no worker takes up: waiting and unloadable jobs by id, for they have no finished_at, and
-- finished ones.
CREATE INDEX {table}_ended      ON {table} (state, finished_at)
  WHERE state NOT BETWEEN 0 AND 2;

-- For people, who count and list by queue. A job that goes from ready to deleted never stands here.
CREATE INDEX {table}_resting    ON {table} (state, queue, finished_at, run_at)
  WHERE state NOT BETWEEN 1 AND 2;

-- What says itself when it goes.
CREATE INDEX {table}_expiring   ON {table} (expires_at)  WHERE expires_at IS NOT NULL;

CREATE UNIQUE INDEX {table}_unique_key ON {table} (unique_key)
  WHERE unique_key IS NOT NULL AND state < 4;

-- Of those that succeeded, for keys that are taken for some time after that.
CREATE INDEX {table}_kept_key   ON {table} (unique_key)
  WHERE unique_key IS NOT NULL AND state = 4;

-- Queues of which no job is begun; '*' is every queue.
CREATE TABLE {table}_paused (queue TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- What recurs: each row is a schedule, apart from the jobs that are its runs.
CREATE TABLE {table}_recurring (
  id          INTEGER PRIMARY KEY,
  name        TEXT    NOT NULL UNIQUE,
  owner       TEXT,                              -- whose code it is from; NULL: added at run time
  version     INTEGER NOT NULL DEFAULT 1,        -- one more with each change
  cron        TEXT,
  timezone    TEXT    NOT NULL DEFAULT 'UTC',
  every       INTEGER CHECK (every >= 1000),     -- milliseconds
  missed      TEXT    NOT NULL DEFAULT 'once' CHECK (missed IN ('skip', 'once', 'all')),
  catch_up    INTEGER NOT NULL DEFAULT 100 CHECK (catch_up BETWEEN 1 AND 10000),
  overlap     TEXT    NOT NULL DEFAULT 'skip' CHECK (overlap IN ('skip', 'allow')),
  jitter      INTEGER NOT NULL DEFAULT 0 CHECK (jitter >= 0),
  queue       TEXT    NOT NULL DEFAULT 'default',
  priority    INTEGER NOT NULL DEFAULT 50,
  unique_key  TEXT,
  key_policy  TEXT CHECK (key_policy IN ('skip', 'replace', 'raise')),
  key_period  INTEGER,
  limit_key   TEXT,
  limit_max   INTEGER,
  next_run_at INTEGER,                           -- NULL: never again, last_error says why
  last_run_at INTEGER,                           -- the time for which the last run was made
  last_job    INTEGER,                           -- the id of that
  last_error  TEXT,
  paused_at   INTEGER,
  created_at  INTEGER NOT NULL
              DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
  updated_at  INTEGER NOT NULL
              DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
  handler     TEXT    NOT NULL,
  CHECK ((cron IS NULL) <> (every IS NULL)),
  CHECK ((unique_key IS NULL) = (key_policy IS NULL))
) STRICT;

CREATE INDEX {table}_recurring_next ON {table}_recurring (next_run_at) WHERE paused_at IS NULL;

-- For people at the sqlite3 prompt: states and times as text.
CREATE VIEW {table}_view AS
SELECT id,
       CASE state WHEN 0 THEN 'scheduled' WHEN 1 THEN 'ready' WHEN 2 THEN 'running'
                  WHEN 3 THEN 'unloadable' WHEN 4 THEN 'succeeded' WHEN 5 THEN 'failed'
                  WHEN -1 THEN 'waiting'
                  ELSE 'cancelled' END AS state,
       queue, priority, attempts,
       datetime(run_at / 1000, 'unixepoch') AS run_at,
       datetime(locked_at / 1000, 'unixepoch') AS locked_at, locked_by,
       datetime(failed_at / 1000, 'unixepoch') AS failed_at,
       datetime(finished_at / 1000, 'unixepoch') AS finished_at,
       datetime(created_at / 1000, 'unixepoch') AS created_at,
       datetime(updated_at / 1000, 'unixepoch') AS updated_at,
       handler, last_error
FROM {table};
