/** What a kernel's messages say of its own health. Pure. */

/** The kernel's last word about itself, from its console, and what led to it; undefined while it lives. */
export function panicOf(console: string): string | undefined {
  const [before = '', panic] = console.split('Kernel panic - not syncing: ', 2);
  if (panic === undefined) return undefined;
  const why = panic.split('\n', 1)[0]?.trim() ?? '';
  const fault = /\b(?:BUG:|kernel BUG at|Oops:|general protection fault).*/.exec(before)?.[0].trim();
  return fault === undefined ? why : `${why}; before that: ${fault}`;
}

/** What the kernel found wrong and survived: `WARNING: CPU: …` and the like. */
export const complaintsOf = (messages: string): readonly string[] =>
  messages.match(/(?<=^\[[\s\d.]+\] )(?:WARNING: .+|BUG: .+|INFO: task .+ blocked.*|.*soft lockup.*)$/gm) ??
  [];
