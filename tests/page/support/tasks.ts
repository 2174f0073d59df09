/** What a Chromium trace says of the page's main thread. */

/** Tasks of the page's main thread that took more than 50 ms by the clock, with the milliseconds they worked. */
export function longTasks(trace: Buffer): { clock: number; work: number }[] {
  type Event = {
    name: string;
    ph: string;
    pid: number;
    tid: number;
    dur?: number;
    tdur?: number;
    args?: { name?: string };
  };
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: Event[] };
  const main = new Set(
    traceEvents
      .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const tasks = traceEvents.filter(({ name, pid, tid }) => name === 'RunTask' && main.has(`${pid} ${tid}`));
  if (tasks.length < 100) throw new Error(`the trace holds ${tasks.length} tasks only`);
  return tasks
    .filter(({ dur = 0 }) => dur > 50_000)
    .map(({ dur = 0, tdur = dur }) => ({ clock: Math.round(dur / 1000), work: Math.round(tdur / 1000) }));
}
