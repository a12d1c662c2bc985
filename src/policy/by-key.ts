/** Lists in the order of keys that things are put into and taken out of, at the cost of a search. */
interface Keyed {
  readonly key: string;
}

/** Where the key is, or would have to be. */
function placeOf(list: readonly Keyed[], key: string): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (String(list[middle]?.key) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const insertByKey = <T extends Keyed>(list: T[], item: T): void =>
  void list.splice(placeOf(list, item.key), 0, item);

export function deleteByKey<T extends Keyed>(list: T[], item: T): void {
  const place = placeOf(list, item.key);
  if (list[place] === item) list.splice(place, 1);
}
