import { describe, expect, it } from '@jest/globals';
import {
  bundlePlan,
  type ConfigMap,
  type Namespace,
} from '../../../../src/controller/kubernetes/bundle-plan.ts';
import { managedBy, trustBundleEntry, trustBundleMap } from '../../../../src/controller/kubernetes/names.ts';

const namespace = (name: string, phase = 'Active'): Namespace => ({ metadata: { name }, status: { phase } });
const map = (ns: string, pem: string, labels: Record<string, string> = managedBy): ConfigMap => ({
  metadata: { namespace: ns, name: trustBundleMap, labels },
  data: { [trustBundleEntry]: pem },
});
const plan = (namespaces: readonly Namespace[], maps: readonly ConfigMap[]) => {
  const { write, remove, taken } = bundlePlan({ namespaces, maps, bundle: 'roots' });
  return { write: write.map(({ metadata }) => metadata.namespace), remove, taken };
};

describe('trust bundles', () => {
  it('are written where they are missing or differ, and nowhere else', () => {
    const maps = [map('shop', 'roots'), map('blog', 'old roots')];
    expect(
      plan(
        ['shop', 'blog', 'new'].map((name) => namespace(name)),
        maps,
      ),
    ).toEqual({
      write: ['blog', 'new'],
      remove: [],
      taken: [],
    });
    expect(bundlePlan({ namespaces: [namespace('new')], maps: [], bundle: 'roots' }).write).toEqual([
      map('new', 'roots'),
    ]);
  });

  it('are removed from namespaces that left the mesh', () => {
    expect(plan([namespace('shop')], [map('shop', 'roots'), map('gone', 'roots')]).remove).toEqual(['gone']);
  });

  it('are neither written to nor removed from a namespace that is being deleted', () => {
    const going = [namespace('going', 'Terminating')];
    expect(plan(going, [])).toEqual({ write: [], remove: [], taken: [] });
    expect(plan(going, [map('going', 'old')])).toEqual({ write: [], remove: [], taken: [] });
  });

  it('never touch a ConfigMap of the same name that somebody else made', () => {
    expect(plan([namespace('shop')], [map('shop', 'theirs', {}), map('other', 'theirs', {})])).toEqual({
      write: [],
      remove: [],
      taken: ['shop'],
    });
  });
});
