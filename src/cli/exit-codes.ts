/** What a command's exit status says, the same for every output format. Scripts rely on it. */
export const exitCodes = {
  /** Done, and nothing is wrong. */
  clean: 0,
  /** Done, and something is wrong or was not found. */
  findings: 1,
  /** The command line is not valid; nothing was touched. */
  usage: 2,
  /** Could not find out: a node did not answer, a permission is missing. */
  undecided: 3,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The graver of two. Not being able to tell outweighs findings: what was not seen may be worse. */
export const worse = (a: ExitCode, b: ExitCode): ExitCode => (a > b ? a : b);

export const exitCodesHelp = `
Exit status:
  0  done, nothing is wrong
  1  done, something is wrong or was not found
  2  the command line is not valid; nothing was touched
  3  could not find out: a node did not answer, or a permission is missing`;
