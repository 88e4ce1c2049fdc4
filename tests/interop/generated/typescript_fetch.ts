import { Configuration, EndpointsApi, ResponseError } from './client/index.js';

declare const process: { env: Record<string, string | undefined> };

const basePath = process.env['URL'] ?? '';
const api = new EndpointsApi(new Configuration({ basePath, accessToken: process.env['KEY'] ?? '' }));
const other = new EndpointsApi(new Configuration({ basePath, accessToken: 'phx_wrong' }));

async function failure(call: Promise<unknown>): Promise<Response> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ResponseError) return error.response;
    throw error;
  }
  throw new Error('the call succeeded');
}

const variables = { plan: 'pro' };
const answer = await api.runRevenueByPlan({ revenueByPlanEndpointRunRequest: { version: 1, variables } });
// a row of several types has values of type {}: this generator has no union of them
const rows = answer.results.map(([plan, people, share, day]) => ({ plan, people, share, day: String(day).slice(0, 10) }));
const series = (await api.runViews({ viewsEndpointRunRequest: { version: 1 } })).results;
const failures = [
  await failure(api.runRevenueByPlan({ revenueByPlanEndpointRunRequest: { version: 1, variables, limit: 0 } })),
  await failure(other.runViews({ viewsEndpointRunRequest: { version: 1 } })),
  await failure(api.runGone({ goneEndpointRunRequest: { version: 1 } })),
  await failure(api.runBusy({ busyEndpointRunRequest: { version: 1 } })),
];
const bodies = await Promise.all(failures.map((response) => response.json()));
console.log(
  JSON.stringify({
    rows,
    version: answer.endpointVersion,
    more: answer.hasMore,
    points: series[0]?.data?.length ?? 0,
    statuses: failures.map((response) => response.status),
    errors: bodies.map((body) => body.error ?? body.code),
    retryAfter: failures[3]?.headers.get('Retry-After'),
  }),
);
