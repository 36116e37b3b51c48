-- Every statement on the table of jobs, by name. In all of them :now is milliseconds since 1970.
-- Text that people may write by hand comes back as a BLOB: it need not be UTF-8, and decoding it is
-- the caller's. A partial index serves only where its own condition stands among the others, word
-- by word (https://sqlite.org/partialindex.html): hence literals, and what seems to be said twice.
-- Counts stay where they can be counted on: one row with the greatest of all, written by hand, would
-- keep every other from being found with it.

-- name: schedule
-- Store one job. Values by their place: bound by name they take a tenth longer.
INSERT INTO {table} (state, queue, priority, run_at, created_at, updated_at, handler)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: schedule_unique
-- As schedule, if no live job has the key, and none has succeeded within its period.
INSERT INTO {table}
  (state, queue, priority, run_at, created_at, updated_at, handler, unique_key, key_period,
   limit_key, limit_max)
SELECT :state, :queue, :priority, :run_at, :now, :now, :handler, :key, :period,
       :limit_key, :limit_max
WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE unique_key = :key AND state < 4)
  AND NOT EXISTS (SELECT 1 FROM {table}
                  WHERE unique_key = :key AND state = 4 AND finished_at + key_period > :now)
RETURNING id;

-- name: replace_unique
-- The job with the key, if it waits, becomes another.
UPDATE {table}
SET state = :state, queue = :queue, priority = :priority, run_at = :run_at, updated_at = :now,
    handler = :handler, key_period = :period, limit_key = :limit_key, limit_max = :limit_max,
    attempts = 0, crashes = 0, last_error = NULL
WHERE unique_key = :key AND state < 4 AND state <> 2
RETURNING id;

-- name: limit_with_key
-- What limits the live job with a key.
SELECT CAST(limit_key AS BLOB) FROM {table}
WHERE unique_key = :key AND state < 4 AND limit_key IS NOT NULL;

-- name: with_key
-- The job that has a key: live, or succeeded within its period.
SELECT id FROM {table} WHERE unique_key = :key AND unique_key IS NOT NULL AND state < 4
UNION ALL
SELECT id FROM {table} WHERE unique_key = :key AND unique_key IS NOT NULL AND state = 4
  AND finished_at + key_period > :now
ORDER BY 1 DESC LIMIT 1;

-- name: schedule_limited
-- As schedule, of a job that may have a limit.
INSERT INTO {table} (state, queue, priority, run_at, created_at, updated_at, handler,
                     limit_key, limit_max)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: present
-- The queues that have ready jobs, as a JSON list: one index seek for each. In a statement of its
-- own, for as a part of find it would be copied into a temporary table at each run.
WITH RECURSIVE present (name) AS (
  SELECT min(queue) FROM {table} WHERE state = 1
  UNION ALL
  SELECT (SELECT min(queue) FROM {table} WHERE state = 1 AND queue > present.name)
  FROM present WHERE present.name IS NOT NULL
)
SELECT CAST(json_group_array(name) AS BLOB) FROM present WHERE name IS NOT NULL;

-- name: look
-- Is a job ready in those of :queues, a JSON list, that are not paused, and when is the next
-- scheduled one due? Takes no write lock.
SELECT EXISTS (SELECT 1 FROM json_each(CAST(:queues AS TEXT)) wanted
               CROSS JOIN {table} j ON j.state = 1 AND j.queue = wanted.value
               WHERE NOT EXISTS (SELECT 1 FROM {table}_paused p WHERE p.queue = '*')
                 AND NOT EXISTS (SELECT 1 FROM {table}_paused p WHERE p.queue = wanted.value)),
       (SELECT min(run_at) FROM {table} WHERE state = 0);

-- name: look_at_all
-- As look, of every queue, paused or not; and whether any is paused.
SELECT EXISTS (SELECT 1 FROM {table} WHERE state = 1),
       (SELECT min(run_at) FROM {table} WHERE state = 0),
       EXISTS (SELECT 1 FROM {table}_paused);

-- name: next_run_at
SELECT min(run_at) FROM {table} WHERE state = 0;

-- name: count_due
-- In :queues, a JSON list, paused or not.
SELECT count(*) FROM (
  SELECT 1 FROM json_each(CAST(:queues AS TEXT)) wanted
    CROSS JOIN {table} j ON j.state = 1 AND j.queue = wanted.value
  UNION ALL
  SELECT 1 FROM json_each(CAST(:queues AS TEXT)) wanted
    CROSS JOIN {table} j ON j.state NOT BETWEEN 1 AND 2 AND j.state = 0 AND j.queue = wanted.value
                        AND j.finished_at IS NULL AND j.run_at <= :now);

-- name: promote
-- Scheduled jobs that are due become ready: here alone what is to run depends on the clock.
UPDATE {table} SET state = 1, updated_at = :now
WHERE id IN (SELECT id FROM {table} WHERE state = 0 AND run_at <= :now ORDER BY run_at LIMIT :limit);

-- name: find
-- Lock the next :limit jobs of a queue, if it is not paused. RETURNING comes back in id order, so
-- the caller sorts.
UPDATE {table}
SET state = 2, attempts = min(attempts, 999999999) + 1, locked_at = :now, locked_by = :worker, updated_at = :now
WHERE id IN (SELECT id FROM {table} WHERE state = 1 AND queue = CAST(:queue AS TEXT)
               AND NOT EXISTS (SELECT 1 FROM {table}_paused WHERE queue = '*')
               AND NOT EXISTS (SELECT 1 FROM {table}_paused WHERE queue = CAST(:queue AS TEXT))
             ORDER BY priority, run_at, id LIMIT :limit)
RETURNING id, CAST(queue AS BLOB), priority, run_at, attempts, locked_by, CAST(handler AS BLOB),
          crashes;

-- name: find_among
-- As find, of several :queues, a JSON list: sought as in list_ready.
WITH RECURSIVE found (priority, run_at, id, queue) AS (
  SELECT j.priority, j.run_at, j.id, j.queue
  FROM json_each(CAST(:queues AS TEXT)) wanted CROSS JOIN {table} j
  WHERE j.id = (SELECT id FROM {table} WHERE state = 1 AND queue = wanted.value
                ORDER BY priority, run_at, id LIMIT 1)
    AND NOT EXISTS (SELECT 1 FROM {table}_paused p WHERE p.queue = '*')
    AND NOT EXISTS (SELECT 1 FROM {table}_paused p WHERE p.queue = wanted.value)
  UNION ALL
  SELECT j.priority, j.run_at, j.id, j.queue
  FROM found CROSS JOIN {table} j
  WHERE j.id = (SELECT id FROM {table} WHERE state = 1 AND queue = +found.queue
                  AND (priority, run_at, id) > (+found.priority, +found.run_at, +found.id)
                ORDER BY priority, run_at, id LIMIT 1)
  ORDER BY 1, 2, 3 LIMIT :limit
)
UPDATE {table}
SET state = 2, attempts = min(attempts, 999999999) + 1, locked_at = :now, locked_by = :worker, updated_at = :now
WHERE id IN (SELECT id FROM found)
RETURNING id, CAST(queue AS BLOB), priority, run_at, attempts, locked_by, CAST(handler AS BLOB),
          crashes;

-- name: delete
-- Successes or failures whose rows go: :ids (a JSON list) of one worker in like attempts. By the
-- ids alone: statistics may tell SQLite to walk all that the worker holds. Not those whose key is
-- taken for some time after a success.
DELETE FROM {table} NOT INDEXED
WHERE id IN (SELECT value FROM json_each(:ids))
  AND state = 2 AND locked_by = :worker AND attempts = :attempts
  AND (key_period IS NULL OR NOT :is_success)
RETURNING id;

-- name: success
-- As delete, for rows that are kept: until :expires_at, or those with a key until its period and
-- what :stays says are over.
UPDATE {table} NOT INDEXED
SET state = 4, finished_at = :now, run_at = NULL, last_error = NULL, result = :result,
    expires_at = CASE WHEN key_period IS NULL THEN :expires_at
                      ELSE max(:now + key_period, coalesce(:expires_at, :stays)) END,
    locked_at = NULL, locked_by = NULL, updated_at = :now
WHERE id IN (SELECT value FROM json_each(:ids))
  AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: release
-- As delete, for jobs that were never begun, or are to be begun again. Of those that were asked to
-- end none is, here and below.
UPDATE {table} NOT INDEXED
SET state = iif(cancel_at IS NULL, 1, 6), run_at = iif(cancel_at IS NULL, run_at, NULL),
    finished_at = iif(cancel_at IS NULL, NULL, :now),
    last_error = iif(cancel_at IS NULL, last_error, 'JobCancelled: given back by its worker'),
    attempts = max(attempts - 1, 0), progress = NULL,
    locked_at = NULL, locked_by = NULL, updated_at = :now
WHERE id IN (SELECT value FROM json_each(:ids))
  AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: error
UPDATE {table}
SET state = iif(cancel_at IS NULL, 0, 6), run_at = iif(cancel_at IS NULL, :run_at, NULL),
    finished_at = iif(cancel_at IS NULL, NULL, :now), last_error = :error,
    progress = NULL, locked_at = NULL, locked_by = NULL, updated_at = :now
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: failure
UPDATE {table}
SET state = iif(cancel_at IS NULL, 5, 6), failed_at = iif(cancel_at IS NULL, :now, NULL),
    finished_at = :now, expires_at = :expires_at, run_at = NULL,
    last_error = :error, locked_at = NULL, locked_by = NULL, updated_at = :now
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: cancelled
UPDATE {table}
SET state = 6, finished_at = :now, expires_at = :expires_at, run_at = NULL, last_error = :reason,
    locked_at = NULL, locked_by = NULL, updated_at = :now
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: snooze
UPDATE {table}
SET state = iif(cancel_at IS NULL, 0, 6), run_at = iif(cancel_at IS NULL, :run_at, NULL),
    finished_at = iif(cancel_at IS NULL, NULL, :now),
    last_error = iif(cancel_at IS NULL, last_error, 'JobCancelled: it wanted to be run later'),
    attempts = max(attempts - 1, 0), progress = NULL, locked_at = NULL, locked_by = NULL, updated_at = :now
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: unloadable
UPDATE {table}
SET state = iif(cancel_at IS NULL, 3, 6), run_at = iif(cancel_at IS NULL, run_at, NULL),
    finished_at = iif(cancel_at IS NULL, NULL, :now), attempts = max(attempts - 1, 0),
    last_error = :error, progress = NULL, locked_at = NULL, locked_by = NULL, updated_at = :now
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: is_held
-- Whether the statements above would change this row.
SELECT EXISTS (SELECT 1 FROM {table}
               WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts);

-- name: release_strays
-- Locked for :workers (JSON list), but not among the jobs :known (JSON list of ids) to them.
UPDATE {table}
SET state = iif(cancel_at IS NULL, 1, 6), run_at = iif(cancel_at IS NULL, run_at, NULL),
    finished_at = iif(cancel_at IS NULL, NULL, :now),
    last_error = iif(cancel_at IS NULL, last_error, 'JobCancelled: given back by its worker'),
    attempts = max(attempts - 1, 0), progress = NULL,
    locked_at = NULL, locked_by = NULL, updated_at = :now
WHERE state = 2 AND locked_by IN (SELECT value FROM json_each(:workers))
  AND id NOT IN (SELECT value FROM json_each(:known))
RETURNING id;

-- name: cancel
-- At once, if it has not begun.
UPDATE {table}
SET state = 6, finished_at = :now, run_at = NULL, updated_at = :now,
    last_error = iif(attempts = 0, 'JobCancelled: cancelled before it began',
                     'JobCancelled: cancelled while it waited to be tried again')
WHERE id = :id AND state IN (-1, 0, 1, 3)
RETURNING id;

-- name: cancel_some
-- Of one queue and state, in which jobs wait.
UPDATE {table}
SET state = 6, finished_at = :now, run_at = NULL, updated_at = :now,
    last_error = iif(attempts = 0, 'JobCancelled: cancelled before it began',
                     'JobCancelled: cancelled while it waited to be tried again')
WHERE id IN (SELECT * FROM (SELECT id FROM {table}
                            WHERE :state = 1 AND state = 1 AND queue = CAST(:queue AS TEXT)
                            LIMIT :limit)
             UNION ALL
             SELECT * FROM (SELECT id FROM {table}
                            WHERE state NOT BETWEEN 1 AND 2 AND state = :state
                              AND queue = CAST(:queue AS TEXT)
                            LIMIT :limit))
RETURNING id;

-- name: ask_to_end
UPDATE {table} SET cancel_at = ifnull(cancel_at, :now) WHERE id = :id AND state = 2 RETURNING id;

-- name: asked_to_end
SELECT id, attempts FROM {table} WHERE state = 2 AND cancel_at IS NOT NULL;

-- name: is_asked_to_end
SELECT 1 FROM {table}
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
  AND cancel_at IS NOT NULL;

-- name: holders
-- Who holds running jobs: one index seek for each.
WITH RECURSIVE holders (name) AS (
  SELECT min(locked_by) FROM {table} WHERE state = 2
  UNION ALL
  SELECT (SELECT min(locked_by) FROM {table} WHERE state = 2 AND locked_by > holders.name)
  FROM holders WHERE holders.name IS NOT NULL
)
SELECT CAST(name AS BLOB) FROM holders WHERE name IS NOT NULL;

-- name: held
SELECT id, CAST(queue AS BLOB), priority, run_at, attempts, locked_by, CAST(handler AS BLOB), crashes
FROM {table} WHERE state = 2 AND locked_by = :worker;

-- name: crash
-- One more process has died of the job, or with it.
UPDATE {table} SET crashes = min(crashes, 999999999) + 1
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: progress
-- It says how far it is.
UPDATE {table} SET progress = :progress, updated_at = :now
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: overdue
-- Its time is over, and it cannot be stopped.
UPDATE {table} SET last_error = :error, updated_at = :now
WHERE id = :id AND state = 2 AND locked_by = :worker AND attempts = :attempts
RETURNING id;

-- name: has_unloadable
SELECT EXISTS (SELECT 1 FROM {table} WHERE state NOT BETWEEN 0 AND 2 AND state = 3);

-- name: reload
-- Unloadable jobs after the id :after are tried again: a runner started or the code changed.
UPDATE {table} SET state = 1, updated_at = :now
WHERE id IN (SELECT id FROM {table}
             WHERE state NOT BETWEEN 0 AND 2 AND state = 3 AND finished_at IS NULL AND id > :after
             ORDER BY id LIMIT :limit)
RETURNING id;

-- name: retry
-- A person wants these again, at once and with all attempts: failed, unloadable, cancelled, or
-- waiting out a backoff. One that is over and whose key is taken, also by a success within its
-- period, is not.
UPDATE OR IGNORE {table} AS j
SET state = 1, run_at = :now, attempts = 0, crashes = 0, cancel_at = NULL, failed_at = NULL,
    finished_at = NULL, expires_at = NULL, progress = NULL, updated_at = :now
WHERE id = :id AND (state IN (3, 5, 6) OR (state = 0 AND attempts > 0))
  AND (state < 4 OR unique_key IS NULL
       OR NOT EXISTS (SELECT 1 FROM {table} done WHERE done.unique_key = j.unique_key
                        AND done.unique_key IS NOT NULL AND done.state = 4
                        AND done.finished_at + done.key_period > :now))
RETURNING id;

-- name: retry_some
-- Of one queue and state, failed or unloadable: those that wait longest. None whose key is taken, as
-- in retry, and of several with one key the first.
UPDATE OR IGNORE {table}
SET state = 1, run_at = :now, attempts = 0, crashes = 0, cancel_at = NULL, failed_at = NULL,
    finished_at = NULL, expires_at = NULL, progress = NULL, updated_at = :now
WHERE id IN (SELECT id FROM {table} j
             WHERE state NOT BETWEEN 1 AND 2 AND state = :state AND queue = CAST(:queue AS TEXT)
               AND (state = 3 OR unique_key IS NULL
                    OR NOT EXISTS (SELECT 1 FROM {table} live WHERE live.unique_key = j.unique_key
                                     AND live.unique_key IS NOT NULL AND live.state < 4)
                    AND NOT EXISTS (SELECT 1 FROM {table} done WHERE done.unique_key = j.unique_key
                                      AND done.unique_key IS NOT NULL AND done.state = 4
                                      AND done.finished_at + done.key_period > :now))
             ORDER BY finished_at, run_at, id LIMIT :limit)
RETURNING id;

-- name: take_back
-- A person wants this again, and the worker that had it is gone.
UPDATE {table}
SET state = 1, run_at = :now, attempts = 0, crashes = 0, cancel_at = NULL, locked_at = NULL,
    locked_by = NULL, progress = NULL, updated_at = :now
WHERE id = :id AND state = 2 AND locked_by = :worker
RETURNING id;

-- name: expired
-- The jobs that said themselves how long they stay, and have.
SELECT id FROM {table} WHERE expires_at IS NOT NULL AND expires_at <= :now
ORDER BY expires_at LIMIT :limit;

-- name: aged
-- Those of one state that finished after :after (a time and an id) and up to :before (likewise).
SELECT id, finished_at, expires_at IS NULL FROM {table}
WHERE state NOT BETWEEN 0 AND 2 AND state = :state
  AND finished_at BETWEEN :after AND :before
  AND (finished_at, id) > (:after, :after_id) AND (finished_at, id) <= (:before, :before_id)
ORDER BY finished_at, id LIMIT :limit;

-- name: last_but
-- When that job of a state finished which :count others finished after, and its id.
SELECT finished_at, id FROM {table} WHERE state NOT BETWEEN 0 AND 2 AND state = :state
ORDER BY finished_at DESC, id DESC LIMIT 1 OFFSET :count;

-- name: aged_unloadable
-- Of one queue, those that were due at :before.
SELECT id FROM {table}
WHERE state NOT BETWEEN 1 AND 2 AND state = 3 AND queue = CAST(:queue AS TEXT)
  AND finished_at IS NULL AND run_at <= :before
ORDER BY run_at LIMIT :limit;

-- name: sweep
-- Delete :ids (a JSON list), but not what was changed since they were sought.
DELETE FROM {table} NOT INDEXED
WHERE id IN (SELECT value FROM json_each(:ids)) AND state > 2
  AND coalesce(expires_at, finished_at, run_at) <= :before
RETURNING id;

-- name: running
SELECT id, CAST(locked_by AS BLOB) FROM {table} WHERE state = 2;

-- name: clear
DELETE FROM {table};

-- name: changes
-- How many rows the statement before this one has changed.
SELECT changes();

-- name: places
-- Which states have jobs of which queues: one index seek for each.
WITH RECURSIVE
  ready (queue) AS (
    SELECT min(queue) FROM {table} WHERE state = 1
    UNION ALL
    SELECT (SELECT min(queue) FROM {table} WHERE state = 1 AND queue > ready.queue)
    FROM ready WHERE ready.queue IS NOT NULL
  ),
  states (state) AS (VALUES (-1), (0), (3), (4), (5), (6)),
  resting (state, queue) AS (
    SELECT state, (SELECT min(queue) FROM {table}
                   WHERE state NOT BETWEEN 1 AND 2 AND state = states.state)
    FROM states
    UNION ALL
    SELECT state, (SELECT min(queue) FROM {table}
                   WHERE state NOT BETWEEN 1 AND 2 AND state = resting.state
                     AND queue > resting.queue)
    FROM resting WHERE resting.queue IS NOT NULL
  )
SELECT state, CAST(queue AS BLOB) FROM resting WHERE queue IS NOT NULL
UNION ALL SELECT 1, CAST(queue AS BLOB) FROM ready WHERE queue IS NOT NULL
UNION ALL SELECT DISTINCT 2, CAST(queue AS BLOB) FROM {table} WHERE state = 2;

-- name: count_place
-- Those of one state and queue, up to :limit.
SELECT count(*) FROM (
  SELECT 1 FROM {table} WHERE :state = 1 AND state = 1 AND queue = CAST(:queue AS TEXT)
  UNION ALL
  SELECT 1 FROM {table} WHERE :state = 2 AND state = 2 AND queue = CAST(:queue AS TEXT)
  UNION ALL
  SELECT 1 FROM {table}
  WHERE state NOT BETWEEN 1 AND 2 AND state = :state AND queue = CAST(:queue AS TEXT)
  LIMIT :limit);

-- name: record
SELECT {record} FROM {table} WHERE id = :id;

-- name: glimpse
SELECT state, CAST(queue AS BLOB), priority, run_at, CAST(handler AS BLOB),
       CAST(last_error AS BLOB), CAST(result AS BLOB)
FROM {table} WHERE id = :id;

-- name: list_all
-- The newest first.
SELECT {record} FROM {table} ORDER BY id DESC LIMIT :limit;

-- name: list_scheduled
-- The soonest first. A queue of NULL means any, here and below.
SELECT {record} FROM {table}
WHERE id IN (
  SELECT * FROM (SELECT id FROM {table}
                 WHERE :queue IS NULL AND state = 0
                 ORDER BY run_at, id LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT id FROM {table}
                 WHERE state NOT BETWEEN 1 AND 2 AND state = 0 AND queue = :queue
                 ORDER BY finished_at, run_at, id LIMIT :limit))
ORDER BY run_at, id;

-- name: list_waiting
-- Those that wait longest for a place of their limit.
SELECT {record} FROM {table}
WHERE id IN (
  SELECT * FROM (SELECT id FROM {table}
                 WHERE :queue IS NULL AND state NOT BETWEEN 0 AND 2 AND state = -1
                 ORDER BY finished_at, id LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT id FROM {table}
                 WHERE state NOT BETWEEN 1 AND 2 AND state = -1 AND queue = :queue
                 ORDER BY finished_at, run_at, id LIMIT :limit))
ORDER BY run_at, id;

-- name: list_ready
-- The next first, of :queues, a JSON list. The first of each is sought, then one after the other
-- that which follows in its queue: so many index seeks, however many jobs the queues have. Without
-- the signs, which make mere values of columns, SQLite would seek by the priority alone.
WITH RECURSIVE found (priority, run_at, id, queue) AS (
  SELECT j.priority, j.run_at, j.id, j.queue
  FROM json_each(CAST(:queues AS TEXT)) wanted CROSS JOIN {table} j
  WHERE j.id = (SELECT id FROM {table} WHERE state = 1 AND queue = wanted.value
                ORDER BY priority, run_at, id LIMIT 1)
  UNION ALL
  SELECT j.priority, j.run_at, j.id, j.queue
  FROM found CROSS JOIN {table} j
  WHERE j.id = (SELECT id FROM {table} WHERE state = 1 AND queue = +found.queue
                  AND (priority, run_at, id) > (+found.priority, +found.run_at, +found.id)
                ORDER BY priority, run_at, id LIMIT 1)
  ORDER BY 1, 2, 3 LIMIT :limit
)
SELECT {record} FROM {table} WHERE id IN (SELECT id FROM found) ORDER BY priority, run_at, id;

-- name: list_running
-- The longest first.
SELECT {record} FROM {table} WHERE state = 2 AND (:queue IS NULL OR queue = :queue)
ORDER BY locked_at, id LIMIT :limit;

-- name: list_ended
-- Of one state: those that finished last first; unloadable ones, which have not, the newest, or of
-- a queue, as its index has them, those that were to run last.
SELECT {record} FROM {table}
WHERE id IN (
  SELECT * FROM (SELECT id FROM {table}
                 WHERE :queue IS NULL AND state NOT BETWEEN 0 AND 2 AND state = :state
                 ORDER BY finished_at DESC, id DESC LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT id FROM {table}
                 WHERE state NOT BETWEEN 1 AND 2 AND state = :state AND queue = :queue
                 ORDER BY finished_at DESC, run_at DESC, id DESC LIMIT :limit))
ORDER BY finished_at DESC, iif(:queue IS NULL, NULL, run_at) DESC, id DESC;

-- name: pause
INSERT OR IGNORE INTO {table}_paused (queue) VALUES (:queue);

-- name: resume
DELETE FROM {table}_paused WHERE queue = :queue;

-- name: paused
SELECT CAST(queue AS BLOB) FROM {table}_paused ORDER BY queue;

-- name: get_meta
SELECT value FROM {table}_meta WHERE key = :key;

-- name: set_meta
INSERT INTO {table}_meta (key, value) VALUES (:key, :value)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;
