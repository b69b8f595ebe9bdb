/** Which of the servers given by the control plane to begin with. */

/**
 * Relays over UDP are kept back while a direct way may be had: an edge relays on the very port on which it takes media, so
 * they reach no farther, and Chromium takes everything that comes from a relay's address for the relay's, so that a
 * direct way to that address would never answer. Who wants relays only, or cannot get through, gets them all.
 */
export function splitServers(
  servers: readonly RTCIceServer[],
  policy: RTCIceTransportPolicy,
): { first: RTCIceServer[]; keptBack: RTCIceServer[] } {
  if (policy === 'relay') return { first: [...servers], keptBack: [] };
  const first: RTCIceServer[] = [];
  const keptBack: RTCIceServer[] = [];
  for (const server of servers) {
    const urls = typeof server.urls === 'string' ? [server.urls] : server.urls;
    const [udp, others] = [urls.filter(isUdpRelay), urls.filter(url => !isUdpRelay(url))];
    if (udp.length) keptBack.push({ ...server, urls: udp });
    if (others.length) first.push({ ...server, urls: others });
  }
  return { first, keptBack };
}

/** RFC 7065 §3.1: without a transport it is UDP. */
function isUdpRelay(url: string): boolean {
  return /^turn:/i.test(url) && !/[?&]transport=tcp/i.test(url);
}
