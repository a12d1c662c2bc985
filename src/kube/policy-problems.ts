/** What is wrong with one policy as the API server has it, judged by the code and in the words of the nodes. Pure. */
import type { MeshConfig } from '../model/mesh.ts';
import { keep, policyFeeds, type PolicyKind } from './api/feed.ts';
import { faultProblems, referenceOf } from './api/feed-objects.ts';
import type { Problem } from './problem.ts';
import { Translator } from './translate/translator.ts';

export const isPolicyKind = (kind: string): kind is PolicyKind =>
  policyFeeds.some((feed) => feed.kind === kind);

/** An error: it is not in force as it stands. A warning: it is, with the caveat given. */
export function policyProblems(
  kind: PolicyKind,
  raw: Readonly<Record<string, unknown>>,
  config: MeshConfig,
): readonly Problem[] {
  const feed = policyFeeds.find((each) => each.kind === kind);
  if (feed === undefined) return [];
  const { object, faults } = keep(feed, raw);
  if (object === undefined) return faultProblems(referenceOf(kind, raw), faults);
  const translator = new Translator(config);
  translator.apply({ set: [{ object, position: undefined }], deleted: [] });
  return translator.problems;
}
