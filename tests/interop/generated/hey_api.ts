import { client } from './client/client.gen.js';
import type { AnyError } from './client/index.js';
import { runBusy, runGone, runRevenueByPlan, runViews } from './client/index.js';

declare const process: { env: Record<string, string | undefined> };

client.setConfig({ baseUrl: process.env['URL'] ?? '', auth: () => process.env['KEY'] });

function code(error: AnyError | undefined): string {
  if (error === undefined || !('code' in error)) throw new Error('it is not the envelope');
  return error.code;
}

const { data, error } = await runRevenueByPlan({ body: { version: 1, variables: { plan: 'pro' } } });
if (data === undefined) throw new Error(JSON.stringify(error));
const rows = data.results.map((row) => {
  const plan: string | null = row[0];
  const people: number = row[1];
  const share: number | null = row[2];
  return { plan, people, share, day: String(row[3]).slice(0, 10) };
});
const series = (await runViews({ body: { version: 1 }, throwOnError: true })).data.results;
const wrongLimit = await runRevenueByPlan({ body: { version: 1, variables: { plan: 'pro' }, limit: 0 } });
const wrongKey = await runViews({ body: { version: 1 }, auth: 'phx_wrong' });
const gone = await runGone({ body: { version: 1 } });
const busy = await runBusy({ body: { version: 1 } });
if (wrongLimit.error === undefined || !('error' in wrongLimit.error)) throw new Error('400 is not the bare form');
console.log(
  JSON.stringify({
    rows,
    version: data.endpoint_version,
    more: data.hasMore,
    points: series[0]?.data?.length ?? 0,
    statuses: [wrongLimit, wrongKey, gone, busy].map((answer) => answer.response?.status),
    errors: [wrongLimit.error.error, code(wrongKey.error), code(gone.error), code(busy.error)],
    retryAfter: busy.response?.headers.get('Retry-After'),
  }),
);
