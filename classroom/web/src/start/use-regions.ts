import { ControlPlane, measureRegions } from '@lyceum/client';
import { useEffect, useState } from 'react';

export interface Regions {
  /** Null until they are known. */
  names: string[] | null;
  rttMs: Record<string, number>;
  /** Whoever comes may join; otherwise an invitation with a token is needed. */
  open: boolean;
  failed: boolean;
}

/** The regions of the mesh and how far they are, measured once. */
export function useRegions(url: string): Regions {
  const [regions, setRegions] = useState<Regions>({ names: null, rttMs: {}, open: true, failed: false });
  useEffect(() => {
    let current = true;
    const find = async () => {
      const found = await new ControlPlane(url).regions();
      const known = { names: found.regions.map(info => info.region), open: found.open, failed: false };
      if (current) setRegions({ ...known, rttMs: {} });
      const rttMs = await measureRegions(found.regions);
      if (current) setRegions({ ...known, rttMs });
    };
    find().catch(() => {
      if (current) setRegions({ names: null, rttMs: {}, open: true, failed: true });
    });
    return () => {
      current = false;
    };
  }, [url]);
  return regions;
}
