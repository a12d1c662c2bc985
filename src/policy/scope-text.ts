/** Whom a policy applies to, in the words of `policies` and `explain`. */
import type { PolicyScope } from '../model/policy.ts';

/** `mesh`, `namespace`, `app=web,tier=front`, `service/shop/cart`. */
export function scopeText(scope: PolicyScope): string {
  switch (scope.type) {
    case 'mesh':
    case 'namespace':
      return scope.type;
    case 'selector':
      return Object.entries(scope.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join();
    case 'services':
      return scope.services.map((key) => `service/${key}`).join() || 'nobody';
  }
}
