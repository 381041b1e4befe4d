-- A batch whose COMMIT went through although its answer was lost is written again, and has to know its own moves.

-- The last move of the attempt, as whoever made it named it; null before the first.
alter table attempt add column moved_by uuid;
