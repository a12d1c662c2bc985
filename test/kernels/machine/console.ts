/** What a kernel's messages say of its own health. Pure. */

/** The kernel's last word about itself, from its console; undefined while it lives. */
export function panicOf(console: string): string | undefined {
  const panic = /Kernel panic - not syncing: (.+)/.exec(console)?.[1];
  const oops = /\b((?:BUG|Oops|general protection fault|kernel BUG at)\b.*)/.exec(console)?.[1];
  if (panic === undefined) return undefined;
  return [panic, oops].filter((line) => line !== undefined).join('; before that: ').trim();
}

/** What the kernel found wrong and survived: `WARNING: CPU: …` and the like. */
export const complaintsOf = (messages: string): readonly string[] =>
  messages.match(/(?<=^\[[\s\d.]+\] )(?:WARNING: .+|BUG: .+|INFO: task .+ blocked.*|.*soft lockup.*)$/gm) ?? [];
