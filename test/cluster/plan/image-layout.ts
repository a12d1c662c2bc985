/** What an OCI image archive says about itself (OCI image specification 1.1). Pure. */
import { createHash } from 'node:crypto';

export interface Layer {
  /** Uncompressed, so its digest is its diff ID too. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

export interface ImageOptions {
  readonly name: string;
  readonly entrypoint: readonly string[];
}

export interface Blob {
  readonly digest: string;
  readonly content: string;
}

export interface ImageMetadata {
  readonly index: string;
  readonly blobs: readonly Blob[];
}

export const digestOf = (content: string): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`;

/** The kubelet completes short names as Docker does; an image that it shall find has to bear the complete one. */
export function completeName(name: string): string {
  const tagged = /:[^/]+$/.test(name) ? name : `${name}:latest`;
  const [first = '', ...rest] = tagged.split('/');
  if (rest.length > 0 && /[.:]|^localhost$/.test(first)) return tagged;
  return rest.length > 0 ? `docker.io/${tagged}` : `docker.io/library/${tagged}`;
}

export function describeImage({ name, entrypoint }: ImageOptions, layers: readonly Layer[]): ImageMetadata {
  const config = blobOf({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Entrypoint: entrypoint, Env: [searchPath] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  });
  const manifest = blobOf({
    schemaVersion: 2,
    mediaType: mediaType('manifest.v1+json'),
    config: descriptor('config.v1+json', config.digest, config.content.length),
    layers: layers.map(({ digest, size }) => descriptor('layer.v1.tar', digest, size)),
  });
  const annotations = { 'io.containerd.image.name': completeName(name) };
  const entry = {
    ...descriptor('manifest.v1+json', manifest.digest, manifest.content.length),
    annotations,
  };
  return { index: JSON.stringify({ schemaVersion: 2, manifests: [entry] }), blobs: [config, manifest] };
}

const searchPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const mediaType = (kind: string): string => `application/vnd.oci.image.${kind}`;
const descriptor = (kind: string, digest: string, size: number) => ({
  mediaType: mediaType(kind),
  digest,
  size,
});

function blobOf(value: unknown): Blob {
  const content = JSON.stringify(value);
  return { digest: digestOf(content), content };
}
