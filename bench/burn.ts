/** Burns processor time and does nothing: `node burn.js SHARE SECONDS`, SHARE of one core. */
const [share = 0.1, seconds = 5] = process.argv.slice(2).map(Number);
const TICK_MS = 20;
const endAt = performance.now() + seconds * 1_000;
const timer = setInterval(() => {
  const until = performance.now() + TICK_MS * share;
  while (performance.now() < until);
  if (performance.now() > endAt) clearInterval(timer);
}, TICK_MS);
