import { describe, expect, it } from '@jest/globals';
import { completeName, describeImage } from '../../cluster/plan/image-layout.ts';

describe('the name of an image', () => {
  it.each([
    ['app', 'docker.io/library/app:latest'],
    ['app:1', 'docker.io/library/app:1'],
    ['shop/app:1', 'docker.io/shop/app:1'],
    ['registry.k8s.io/pause:3', 'registry.k8s.io/pause:3'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app:1', 'localhost:5000/app:1'],
  ])('%s is completed as the kubelet does it', (name, complete) => {
    expect(completeName(name)).toBe(complete);
  });
});

describe('an image', () => {
  const layer = { digest: 'sha256:abc', size: 42 };
  const { index, blobs } = describeImage({ name: 'app:1', entrypoint: ['/app'] }, [layer]);
  const [config, manifest] = blobs.map(({ content }) => JSON.parse(content) as Record<string, unknown>);

  it('has a manifest that names its configuration and its layers', () => {
    expect(manifest).toMatchObject({
      config: { digest: blobs[0]?.digest, size: blobs[0]?.content.length },
      layers: [{ digest: 'sha256:abc', size: 42 }],
    });
    expect(config).toMatchObject({
      config: { Entrypoint: ['/app'] },
      rootfs: { diff_ids: ['sha256:abc'] },
    });
  });

  it('is found by its complete name', () => {
    expect(JSON.parse(index)).toMatchObject({
      manifests: [
        {
          digest: blobs[1]?.digest,
          annotations: { 'io.containerd.image.name': 'docker.io/library/app:1' },
        },
      ],
    });
  });
});
