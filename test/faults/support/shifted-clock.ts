/*
 * Loaded before the broker: a wall clock that jumps at each SIGUSR2, an hour ahead, then two hours back, then to the
 * truth. The system's own clock can't be moved by a test.
 */
const HOUR_MS = 3_600_000;
const SHIFTS = [HOUR_MS, -HOUR_MS, 0];

const RealDate = Date;
let jumps = 0;
let shift = 0;
const now = () => RealDate.now() + shift;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
});

process.on('SIGUSR2', () => {
  shift = SHIFTS[jumps % SHIFTS.length] as number;
  jumps += 1;
  process.stdout.write(`${JSON.stringify({ clock: new Date().toISOString() })}\n`);
});
