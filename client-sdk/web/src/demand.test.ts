import { describe, expect, it } from 'vitest';
import { Demand, PAUSE_GRACE_MS } from './demand';

describe('demand', () => {
  it('sends everything before anybody has said anything', () => {
    expect(new Demand().active('camera', 'f', 0)).toBe(true);
    expect(new Demand().deadline(0)).toBeNull();
  });

  it('pauses what nobody watches after a grace, and resumes at once', () => {
    const demand = new Demand();
    demand.said(
      'camera',
      [
        { rid: 'q', watched: true },
        { rid: 'f', watched: false },
      ],
      1_000,
    );
    expect(demand.active('camera', 'f', 1_000)).toBe(true);
    expect(demand.deadline(1_000)).toBe(1_000 + PAUSE_GRACE_MS);
    expect(demand.active('camera', 'f', 1_000 + PAUSE_GRACE_MS)).toBe(false);
    expect(demand.active('camera', 'q', 1_000 + PAUSE_GRACE_MS)).toBe(true);
    demand.said('camera', [{ rid: 'f', watched: true }], 9_000);
    expect(demand.active('camera', 'f', 9_000)).toBe(true);
    expect(demand.deadline(9_000)).toBeNull();
  });

  it('comes down to the layer watched after a grace, and goes up at once', () => {
    const demand = new Demand();
    const watched = [{ rid: '', watched: true }];
    expect(demand.spatial('camera', 0)).toBeNull();
    demand.said('camera', watched, 1_000, 0);
    expect(demand.spatial('camera', 1_000)).toBeNull();
    expect(demand.deadline(1_000)).toBe(1_000 + PAUSE_GRACE_MS);
    expect(demand.spatial('camera', 1_000 + PAUSE_GRACE_MS)).toBe(0);
    demand.said('camera', watched, 5_000, 2);
    expect(demand.spatial('camera', 5_000)).toBe(2);
    demand.said('camera', watched, 6_000, 1);
    demand.said('camera', watched, 6_500, 2);
    expect(demand.spatial('camera', 9_000)).toBe(2);
    demand.said('camera', [{ rid: '', watched: false }], 9_000);
    expect(demand.spatial('camera', 9_000)).toBeNull();
  });

  it('does not begin the grace anew when it is said again', () => {
    const demand = new Demand();
    demand.said('screen', [{ rid: '', watched: false }], 0);
    demand.said('screen', [{ rid: '', watched: false }], PAUSE_GRACE_MS - 1);
    expect(demand.active('screen', '', PAUSE_GRACE_MS)).toBe(false);
  });

  it('sends everything of what takes the place of something else', () => {
    const demand = new Demand();
    demand.said('camera', [{ rid: 'h', watched: false }], 0, 0);
    demand.said('screen', [{ rid: 'h', watched: false }], 0);
    expect(demand.active('camera', 'h', 5_000)).toBe(false);
    demand.forget('camera');
    expect(demand.active('camera', 'h', 5_000)).toBe(true);
    expect(demand.spatial('camera', 5_000)).toBeNull();
    expect(demand.active('screen', 'h', 5_000), 'of another source').toBe(false);
  });
});
