/** Completion scripts for bash, zsh and fish from the tree of commands. Pure. */
export interface CompletionOption {
  readonly flags: readonly string[];
  readonly summary: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

export interface CompletionNode {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletionOption[];
  /** Values of its first argument, where they are known. */
  readonly choices: readonly string[];
  readonly children: readonly CompletionNode[];
}

interface Branch {
  /** The commands typed so far, without the program: `lab up`. */
  readonly path: string;
  readonly node: CompletionNode;
}

/** Every command with the path that leads to it, the program itself under "". */
function branches(node: CompletionNode, path = ''): readonly Branch[] {
  const below = node.children.flatMap((child) =>
    branches(child, path === '' ? child.name : `${path} ${child.name}`),
  );
  return [{ path, node }, ...below];
}

const words = (node: CompletionNode): string =>
  [
    ...node.children.map(({ name }) => name),
    ...node.choices,
    ...node.options.flatMap(({ flags }) => flags),
  ].join(' ');

export function bashScript(root: CompletionNode): string {
  const paths = branches(root)
    .filter(({ path }) => path !== '')
    .map(({ path }) => `'${path}'`);
  const cases = branches(root).map(({ path, node }) => `    '${path}') words='${words(node)}' ;;`);
  return `# bash completion for ${root.name}
_mesh_ebpf() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path='' words='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${path:+$path }$word" in
      ${paths.join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path:$previous" in
${valueCases(root).join('\n')}
  esac
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _mesh_ebpf ${root.name}
`;
}

/** After an option that takes a value: its choices, or file names. */
function valueCases(root: CompletionNode): readonly string[] {
  return branches(root).flatMap(({ path, node }) =>
    node.options
      .filter(({ takesValue }) => takesValue)
      .map(({ flags, choices }) => {
        const pattern = flags.map((flag) => `'${path}:${flag}'`).join('|');
        const offer = choices.length === 0 ? '-f' : `-W '${choices.join(' ')}'`;
        return `    ${pattern}) COMPREPLY=($(compgen ${offer} -- "$current")); return ;;`;
      }),
  );
}

/** zsh runs the bash function: one table to keep right. */
export function zshScript(root: CompletionNode): string {
  return `#compdef ${root.name}\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(root)}`;
}

export function fishScript(root: CompletionNode): string {
  const lines = branches(root).flatMap(({ path, node }) => [
    ...node.children.map(
      (child) => `${fishCondition(root, path, node)} -f -a ${child.name} -d ${quote(child.summary)}`,
    ),
    ...node.choices.map((choice) => `${fishCondition(root, path, node)} -f -a ${choice}`),
    ...node.options.map((option) => `${fishCondition(root, path, node)} ${fishOption(option)}`),
  ]);
  return `# fish completion for ${root.name}\n${lines.join('\n')}\n`;
}

function fishCondition(root: CompletionNode, path: string, node: CompletionNode): string {
  if (path === '') return `complete -c ${root.name} -n __fish_use_subcommand`;
  const seen = path.split(' ').map((name) => `__fish_seen_subcommand_from ${name}`);
  const children = node.children.map(({ name }) => name);
  const none = children.length === 0 ? [] : [`not __fish_seen_subcommand_from ${children.join(' ')}`];
  return `complete -c ${root.name} -n ${quote([...seen, ...none].join('; and '))}`;
}

function fishOption({ flags, summary, takesValue, choices }: CompletionOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const value = choices.length > 0 ? ` -x -a ${quote(choices.join(' '))}` : takesValue ? ' -r' : '';
  return `${names.join(' ')}${value} -d ${quote(summary)}`;
}

const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
