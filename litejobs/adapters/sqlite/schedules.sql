-- Every statement on the table of what recurs, by name; as in queries.sql.

-- name: due
-- Those whose time has come, the longest ago first.
SELECT id, version, CAST(name AS BLOB), {schedule}, next_run_at
FROM {table}_recurring WHERE paused_at IS NULL AND next_run_at <= :now
ORDER BY next_run_at LIMIT :limit;

-- name: next_at
SELECT min(next_run_at) FROM {table}_recurring WHERE paused_at IS NULL;

-- name: advance
-- Of a time one run is made: by the one whose statement finds the schedule as it was read.
UPDATE {table}_recurring
SET next_run_at = :next, last_error = :error, updated_at = :now
WHERE id = :id AND version = :version AND next_run_at = :slot AND paused_at IS NULL
RETURNING last_job;

-- name: ran
UPDATE {table}_recurring SET last_job = :job, last_run_at = :slot WHERE id = :id;

-- name: ran_beside
-- While the last run is not over it stays the last, for which times may be passed over.
UPDATE {table}_recurring SET last_job = :job, last_run_at = :slot
WHERE id = :id
  AND (overlap = 'allow'
       OR NOT EXISTS (SELECT 1 FROM {table} j WHERE j.id = last_job AND j.id <> :job AND j.state < 4));

-- name: unfinished
-- Of the runs of that schedule the last, and any that goes on, which is first; a job that has
-- replaced a run is none.
SELECT id, state, attempts
FROM (SELECT id, state, attempts, handler FROM {table} WHERE state = 2
      UNION ALL
      SELECT id, state, attempts, handler FROM {table} WHERE id = :job AND state < 4 AND state <> 2)
WHERE CASE WHEN json_valid(handler) THEN json_extract(handler, '$.schedule') = :schedule END
ORDER BY state = 2 DESC, id;

-- name: supersede
-- A run that waits to be tried again, or does not load, makes room for the next one.
UPDATE {table}
SET state = 6, finished_at = :now, run_at = NULL, updated_at = :now,
    last_error = 'JobCancelled: the next run of its schedule took its place; before that: '
                 || coalesce(last_error, '')
WHERE id = :job AND (state = 3 OR (state = 0 AND attempts > 0));

-- name: named
-- The schedule of that name, whole.
SELECT id, version, CAST(owner AS BLOB), {schedule}, next_run_at
FROM {table}_recurring WHERE name = :name;

-- name: insert
INSERT INTO {table}_recurring
  (name, owner, cron, timezone, every, missed, catch_up, overlap, jitter, handler, queue, priority,
   unique_key, key_policy, key_period, limit_key, limit_max, next_run_at, created_at, updated_at)
VALUES
  (:name, :owner, :cron, :timezone, :every, :missed, :catch_up, :overlap, :jitter, :handler, :queue,
   :priority, :unique_key, :key_policy, :key_period, :limit_key, :limit_max, :next, :now, :now);

-- name: change
UPDATE {table}_recurring
SET version = version + 1, cron = :cron, timezone = :timezone, every = :every, missed = :missed,
    catch_up = :catch_up, overlap = :overlap, jitter = :jitter, handler = :handler, queue = :queue,
    priority = :priority, unique_key = :unique_key, key_policy = :key_policy,
    key_period = :key_period, limit_key = :limit_key, limit_max = :limit_max, next_run_at = :next,
    last_error = NULL, updated_at = :now
WHERE id = :id;

-- name: owned
SELECT id, CAST(name AS BLOB) FROM {table}_recurring WHERE owner = :owner;

-- name: remove
DELETE FROM {table}_recurring WHERE id = :id;

-- name: pause
UPDATE {table}_recurring
SET version = version + 1, paused_at = coalesce(paused_at, :now), updated_at = :now WHERE id = :id;

-- name: resume
UPDATE {table}_recurring
SET version = version + 1, paused_at = NULL, next_run_at = :next, updated_at = :now
WHERE id = :id AND paused_at IS NOT NULL;

-- name: all
SELECT CAST(r.name AS BLOB), CAST(r.owner AS BLOB), CAST(r.cron AS BLOB),
       CAST(r.timezone AS BLOB), r.every, r.missed, r.catch_up, r.overlap, r.jitter,
       CAST(r.queue AS BLOB), r.priority, r.next_run_at, r.last_run_at, r.last_job,
       (SELECT state FROM {table} j WHERE j.id = r.last_job), r.paused_at,
       CAST(r.last_error AS BLOB), r.created_at, r.updated_at, CAST(r.handler AS BLOB)
FROM {table}_recurring r ORDER BY r.name;
