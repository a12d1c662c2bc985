/**
 * The demo's act about policies: a namespace is closed, a refusal is told by the log and by `explain` in the same words,
 * the rule that is missing is proposed from what was seen, and applied.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../../base/errors.ts';
import type { Screen } from '../../cli/screen.ts';
import type { ConnectionItem } from '../../telemetry/admin-api.ts';
import type { Explained } from './lab-client.ts';
import type { Stage } from './perform.ts';
import { withVerdict } from './screen.ts';

/** Who is refused, whom it called before the namespace was closed. */
const refused = { from: 'shop/cart-2', to: 'shop/web', url: 'http://web/', service: 'web.shop:80' } as const;
const allowed = { from: 'shop/web', to: 'shop/cart-2', url: 'http://cart/' } as const;

interface Answer {
  readonly ok: boolean;
}

/** Returns how much was not as expected. */
export async function tellPolicies(screen: Screen, stage: Stage, manifests: string): Promise<number> {
  const { client, scratch } = stage;
  screen.data(
    `\n${screen.paint('bold', 'Who may talk to whom')}: shop refuses everybody, but web may call cart`,
  );
  await client.lab('apply', '-f', manifests);
  await whenExplained(stage, 'denied');
  const outcomes: boolean[] = [];
  const tell = (text: string, wrong: string | undefined): void => {
    screen.data(withVerdict(text, wrong, screen.paint));
    outcomes.push(wrong === undefined);
  };
  const opened = await called(stage, allowed);
  tell(line(screen, allowed, opened, 'by shop/web-calls-cart'), opened ? undefined : 'it was refused');
  const reached = await called(stage, refused);
  tell(
    line(screen, refused, reached, 'before a byte reached web'),
    reached ? 'it reached web all the same' : undefined,
  );
  const said = await refusalOf(stage);
  const { verdict } = await client.explain(refused.from, refused.service);
  tell(
    `  the log says      ${said ?? 'nothing'}\n  explain says      ${verdict.reason}`,
    said === verdict.reason ? undefined : 'they do not say the same',
  );

  const file = join(scratch, 'suggested.yaml');
  const suggested = await client.suggest('shop');
  await writeFile(file, suggested);
  screen.data(`  policy suggest    ${proposalFor(suggested, 'web')}`);
  await client.lab('apply', '-f', file);
  await whenExplained(stage, 'allowed');
  const reopened = await called(stage, refused);
  tell(line(screen, refused, reopened, 'once that is applied'), reopened ? undefined : 'it is refused still');
  return outcomes.filter((right) => !right).length;
}

type Call = typeof refused | typeof allowed;

async function called({ client }: Stage, { from, url }: Call): Promise<boolean> {
  const [answer] = await client.app<Answer>(from, 'get', url, '--count', '1');
  return answer?.ok === true;
}

function line({ paint }: Screen, { from, to }: Call, ok: boolean, how: string): string {
  const outcome = ok ? paint('green', 'allowed') : paint('yellow', 'REFUSED');
  return `  ${`${from} → ${to}`.padEnd(30)}${outcome} ${how}`;
}

/** Files take a moment to be in force on both nodes. */
async function whenExplained({ client }: Stage, outcome: Explained['outcome']): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if ((await client.explain(refused.from, refused.service)).outcome === outcome) return;
    await delay(50);
  }
  throw new MeshError('TIMEOUT', `${refused.from} → ${refused.service} is not ${outcome} yet`);
}

const isRefusal = ({ direction, source, verdict }: ConnectionItem): boolean =>
  direction === 'inbound' && source.workload === refused.from && verdict?.allowed === false;

/** As the called pod's ztunnel has it on record. */
async function refusalOf({ client, pods }: Stage): Promise<string | undefined> {
  const node = pods.find(({ namespace, name }) => `${namespace}/${name}` === refused.to)?.node ?? '';
  for (let i = 0; i < 20; i++) {
    const { items } = await client.connections(node, 0);
    const found = items.findLast(isRefusal);
    if (found !== undefined) return found.verdict?.reason;
    await delay(50);
  }
  return undefined;
}

/** The policy for an application, without the comments above it, to stand in a column. */
function proposalFor(yaml: string, app: string): string {
  const policy = yaml.split('---\n').find((each) => each.includes(`name: "${app}-seen"`)) ?? yaml;
  const at = policy.indexOf('apiVersion:');
  return policy
    .slice(at)
    .trimEnd()
    .split('\n')
    .join(`\n${' '.repeat(20)}`);
}
