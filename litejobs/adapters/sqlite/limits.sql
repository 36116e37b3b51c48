-- What keeps the limits. A job takes a place of its limit_key as it becomes ready and gives it back
-- when it is neither ready nor running any more; where no place is left it is "waiting", state -1.
-- The places are the rows themselves: there is no counter that could be wrong. Of jobs of one key
-- whose limits differ the smallest holds, as long as it is that of one which waits, is ready or runs.

-- In balance() :key is a parameter, in triggers the key of their row. What it does fires no trigger
-- again: moves between -1 and 1 are nobody's condition.

-- name: beyond
-- How many are ready or running beyond the smallest limit; NULL: there are none of the key. The
-- states are those of the second index, said so that the first, where all that wait would have to
-- be walked, does not seem to serve.
SELECT (SELECT count(*) FROM {table} WHERE limit_key = {key} AND state BETWEEN 1 AND 2)
       - (SELECT min(limit_max) FROM {table}
          WHERE limit_key = {key} AND iif(state = 0, 3, state) < 3)

-- name: hold
-- Of the ready ones the last in line wait, as many as are beyond the limit.
UPDATE {table} SET state = -1
WHERE id IN (
  SELECT id FROM {table} WHERE limit_key = {key} AND state = 1
  ORDER BY priority DESC, run_at DESC, id DESC
  LIMIT max(0, ifnull(({beyond}), 0)))

-- name: admit
-- Of the waiting ones the first in line become ready, as many as places are left.
UPDATE {table} SET state = 1
WHERE id IN (
  SELECT id FROM {table} WHERE limit_key = {key} AND state = -1
  ORDER BY priority, run_at, id
  LIMIT max(0, ifnull(-({beyond}), 0)))

-- name: index
CREATE INDEX IF NOT EXISTS {schema}{table}_limit ON {table} (limit_key, state, priority, run_at)
WHERE limit_key IS NOT NULL

-- name: index_of_limits
CREATE INDEX IF NOT EXISTS {schema}{table}_limit_max ON {table} (limit_key, limit_max)
WHERE limit_key IS NOT NULL AND iif(state = 0, 3, state) < 3

-- name: on_update
CREATE TRIGGER IF NOT EXISTS {schema}{table}_limit_update AFTER UPDATE OF state ON {table}
WHEN NEW.limit_key IS NOT NULL
  AND ((NEW.state = 1 AND OLD.state NOT IN (-1, 1, 2))
       OR (OLD.state IN (-1, 1, 2) AND NEW.state NOT IN (-1, 1, 2)))
BEGIN
  {hold};
  {admit};
END

-- name: on_delete
CREATE TRIGGER IF NOT EXISTS {schema}{table}_limit_delete AFTER DELETE ON {table}
WHEN OLD.limit_key IS NOT NULL AND OLD.state IN (-1, 1, 2)
BEGIN
  {admit};
END

-- name: are_kept
SELECT count(*) = 4 FROM sqlite_master
WHERE name IN ('{table}_limit', '{table}_limit_max', '{table}_limit_update', '{table}_limit_delete')
