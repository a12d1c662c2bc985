/** Manifests of the tests' labs, as YAML a person could have written. */
import type { NodeId } from './lab.ts';

const script = (name: string): string => new URL(`pod/${name}`, import.meta.url).pathname;

/** `client.py` inside pods: the host's files are the pods' files. */
export const clientScript = script('client.py');
export const hboneClientScript = script('hbone-client.ts');
export const certificateScript = script('request-certificate.ts');

/** The server of many habits; ports in `pod/server.py`. */
export const server = `[python3, ${script('server.py')}]`;

export const namespace = (name: string, mesh: 'ambient' | 'none'): string => `---
apiVersion: v1
kind: Namespace
metadata:
  name: ${name}
${mesh === 'ambient' ? '  labels: { istio.io/dataplane-mode: ambient }\n' : ''}`;

export interface PodOptions {
  readonly node?: NodeId;
  /** YAML list; none: the pod only holds its place. */
  readonly command?: string;
  readonly serviceAccount?: string;
  /** Ready when this port answers. */
  readonly readyPort?: number;
}

/** `name` is `NAMESPACE/NAME`; the label `app` is the name. */
export function pod(path: string, options: PodOptions = {}): string {
  const [where, name] = split(path);
  const { node, command, serviceAccount, readyPort } = options;
  return `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: ${where}, labels: { app: ${name} } }
spec:
${node === undefined ? '' : `  nodeName: ${node}\n`}${serviceAccount === undefined ? '' : `  serviceAccountName: ${serviceAccount}\n`}\
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
${command === undefined ? '' : `      command: ${command}\n`}\
${readyPort === undefined ? '' : `      readinessProbe: { tcpSocket: { port: ${readyPort} }, periodSeconds: 1 }\n`}`;
}

/** A pod with the server of many habits. */
export const serverPod = (path: string, options: PodOptions = {}): string =>
  pod(path, { command: server, readyPort: 7000, ...options });

export const serviceAccount = (path: string): string => {
  const [where, name] = split(path);
  return `---\napiVersion: v1\nkind: ServiceAccount\nmetadata: { name: ${name}, namespace: ${where} }\n`;
};

/** A Service for the pods with the label `app: NAME`; ports are the pods' own. */
export function service(path: string, ports: readonly number[], ipv6 = true): string {
  const [where, name] = split(path);
  const list = ports.map((port) => `    - { name: p${port}, port: ${port} }\n`).join('');
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${where} }
spec:
  ipFamilyPolicy: ${ipv6 ? 'PreferDualStack' : 'SingleStack'}
  selector: { app: ${name} }
  ports:
${list}`;
}

/** An AuthorizationPolicy; `rules` as YAML in one line, such as `[{ from: [{ source: { namespaces: [x] } }] }]`. */
export function policy(path: string, action: 'ALLOW' | 'DENY', rules: string, app?: string): string {
  const [where, name] = split(path);
  return `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: ${where} }
spec:
  action: ${action}
${app === undefined ? '' : `  selector: { matchLabels: { app: ${app} } }\n`}  rules: ${rules}
`;
}

/** A NamespaceAccess; `spec` as YAML in one line, such as `{ egress: { default: Deny } }`. */
export function namespaceAccess(path: string, spec: string): string {
  const [where, name] = split(path);
  return `---
apiVersion: mesh-ebpf.io/v1alpha1
kind: NamespaceAccess
metadata: { name: ${name}, namespace: ${where} }
spec: ${spec}
`;
}

/** `rest`: more of the spec, indented by two. */
export function peerAuthentication(path: string, mode: string, rest = ''): string {
  const [where, name] = split(path);
  return `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: ${where} }
spec:
  mtls: { mode: ${mode} }
${rest === '' ? '' : `  ${rest}\n`}`;
}

function split(path: string): readonly [namespace: string, name: string] {
  const [where, name] = path.split('/');
  if (where === undefined || name === undefined) throw new Error(`"${path}" is not NAMESPACE/NAME`);
  return [where, name];
}
