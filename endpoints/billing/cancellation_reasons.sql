SELECT
    properties.reason AS reason,
    count() AS cancellations
FROM events
WHERE event = 'subscription cancelled'
  AND properties.plan = {variables.plan}
  AND timestamp >= now() - INTERVAL 90 DAY
GROUP BY reason
ORDER BY cancellations DESC, reason
