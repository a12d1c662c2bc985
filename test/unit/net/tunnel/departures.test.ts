import { describe, expect, it } from '@jest/globals';
import { parseIp } from '../../../../src/base/ip.ts';
import { Departures } from '../../../../src/net/tunnel/departures.ts';

const [ip, other] = ['10.244.2.7', '10.244.2.8'].map(parseIp) as [
  ReturnType<typeof parseIp>,
  ReturnType<typeof parseIp>,
];

describe('those who wait for a peer', () => {
  it('hear of its departure until they say that they no longer wait', () => {
    const departures = new Departures();
    const heard: string[] = [];
    const forget = departures.listen(ip, (departure) => heard.push(`a ${departure}`));
    departures.listen(ip, (departure) => heard.push(`b ${departure}`));
    departures.tell(ip, 'leaving');
    forget();
    departures.tell(ip, 'gone');
    departures.tell(other, 'gone');
    expect(heard).toEqual(['a leaving', 'b leaving', 'b gone']);
  });

  it('may begin to wait anew because of what they hear', () => {
    const departures = new Departures();
    let heard = 0;
    const listen = (): void => {
      const forget = departures.listen(ip, () => {
        heard += 1;
        forget();
        listen();
      });
    };
    listen();
    departures.tell(ip, 'gone');
    departures.tell(ip, 'gone');
    expect(heard).toBe(2);
  });
});
