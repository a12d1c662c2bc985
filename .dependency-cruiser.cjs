// Imports go down only: base ← model ← mechanisms ← components ← apps ← main. Within a rank, never sideways.
const ranks = [
  ['base'],
  ['model'],
  ['policy', 'native', 'rpc'],
  ['datapath', 'net', 'identity', 'kube', 'telemetry'],
  ['agent', 'ztunnel', 'controller', 'lab'],
  ['cli'],
  ['apps'],
];

const folder = (names) => `^src/(${names.join('|')})/`;

const upward = ranks.flatMap((rank, i) => {
  const above = ranks.slice(i + 1).flat();
  return rank.map((name) => {
    const siblings = rank.filter((other) => other !== name);
    return {
      name: `${name}-imports-down-only`,
      severity: 'error',
      comment: `src/${name} may import lower ranks only; hand what it needs in from src/apps`,
      from: { path: folder([name]) },
      to: {
        path: [
          ...(siblings.length > 0 ? [folder(siblings)] : []),
          ...(above.length > 0 ? [folder(above)] : []),
          '^src/main',
        ],
      },
    };
  });
});

module.exports = {
  forbidden: [
    ...upward,
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-dev-dependency-in-src',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], pathNot: '@types' },
    },
    {
      name: 'src-knows-no-tests',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|tools)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs', '.json'] },
  },
};
