/** What a kernel's verifier and compiler said of each program, from `bpftool -d prog loadall` and `prog show`. Pure. */

export interface ProgramCost {
  readonly program: string;
  /** Instructions the verifier went through, over all paths; it gives up at a million. */
  readonly verified: number;
  /** Instructions in the kernel, after its rewriting. */
  readonly instructions: number;
  /** Of machine code; 0 if it is interpreted. */
  readonly machineBytes: number;
}

const verifierLogs = /^libbpf: prog '(\w+)': -- BEGIN PROG LOAD LOG --$(.*?)^-- END PROG LOAD LOG --$/gms;

/** A program of whose load the log tells nothing is left out. @param shown JSON */
export function programCosts(log: string, shown: string): readonly ProgramCost[] {
  const sizes = new Map(parseShown(shown).map((each) => [each.name, each]));
  return [...log.matchAll(verifierLogs)].flatMap(([, program = '', text = '']) => {
    const verified = /^processed (\d+) insns/m.exec(text)?.[1];
    const size = sizes.get(program);
    if (verified === undefined || size === undefined) return [];
    return [
      {
        program,
        verified: Number(verified),
        instructions: size.bytes_xlated / bytesPerInstruction,
        machineBytes: size.bytes_jited,
      },
    ];
  });
}

const bytesPerInstruction = 8;

interface Shown {
  readonly name: string;
  readonly bytes_xlated: number;
  readonly bytes_jited: number;
}

function parseShown(shown: string): readonly Shown[] {
  const list = JSON.parse(shown) as readonly Partial<Shown>[];
  return list.flatMap(({ name, bytes_xlated = 0, bytes_jited = 0 }) =>
    name === undefined ? [] : [{ name, bytes_xlated, bytes_jited }],
  );
}
