/** Rules for one address → the ports that are open there. Pure. */
import type { EgressRule, PortRange, Transport } from '../../model/access.ts';

type Interval = Pick<PortRange, 'first' | 'last'>;

const everyPort: Interval = { first: 0, last: 65_535 };

/**
 * The open ports as ranges that neither overlap nor touch, TCP's first. Rules that deny win; what no rule speaks of is
 * open if `open` says so.
 */
export function openPorts(
  open: boolean,
  rules: readonly Pick<EgressRule, 'action' | 'ports'>[],
): PortRange[] {
  return (['tcp', 'udp'] as const).flatMap((protocol) => {
    const of = (action: EgressRule['action']): Interval[] =>
      rules.filter((rule) => rule.action === action).flatMap((rule) => intervals(rule.ports, protocol));
    return without(joined([...(open ? [everyPort] : []), ...of('allow')]), joined(of('deny'))).map(
      ({ first, last }) => ({ protocol, first, last }),
    );
  });
}

const intervals = (ports: EgressRule['ports'], protocol: Transport): readonly Interval[] =>
  ports === undefined ? [everyPort] : ports.filter((range) => range.protocol === protocol);

/** In order, those that overlap or touch as one. */
function joined(all: readonly Interval[]): readonly Interval[] {
  const result: Interval[] = [];
  for (const next of all.toSorted((a, b) => a.first - b.first)) {
    const last = result.at(-1);
    if (last === undefined || next.first > last.last + 1) result.push(next);
    else result[result.length - 1] = { first: last.first, last: Math.max(last.last, next.last) };
  }
  return result;
}

const without = (all: readonly Interval[], holes: readonly Interval[]): readonly Interval[] =>
  holes.reduce<readonly Interval[]>(
    (left, hole) =>
      left.flatMap(({ first, last }) =>
        [
          { first, last: Math.min(last, hole.first - 1) },
          { first: Math.max(first, hole.last + 1), last },
        ].filter((part) => part.first <= part.last),
      ),
    all,
  );
