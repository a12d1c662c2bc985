/** Makes what is pinned look like the work of another version of the agent. */
import { decode, encode } from '../../../src/datapath/abi/field.ts';
import { mapSpecs } from '../../../src/datapath/maps.ts';
import { type Lab, native } from './lab.ts';

/** What is pinned is of an agent whose maps mean something else. */
export function becomeAnotherVersion(lab: Lab): void {
  const { key, value } = mapSpecs.config;
  const fd = native.openPinned(lab.pin('maps', 'config'));
  try {
    const found = native.mapLookup(fd, encode(key, 0)) ?? new Uint8Array();
    native.mapUpdate(fd, encode(key, 0), encode(value, { ...decode(value, found), abi: 99 }), 0);
  } finally {
    native.closeFd(fd);
  }
}
