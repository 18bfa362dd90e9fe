// Node's own WebSocket: opens, sends a text and a binary message, prints what comes back, and closes.
const [url] = process.argv.slice(2);
const socket = new WebSocket(url, ['v1.chat', 'v2.chat']);
socket.binaryType = 'arraybuffer';
socket.onopen = () => {
  console.log('open', socket.protocol);
  socket.send('hello');
};
socket.onmessage = ({ data }) => {
  if (typeof data === 'string') {
    console.log('text', data);
    socket.send(new Uint8Array(100_000));
  } else {
    console.log('binary', data.byteLength);
    socket.close(1000, 'bye');
  }
};
socket.onerror = (event) => console.log('error', event.message ?? event.error?.message);
socket.onclose = (event) => console.log('close', event.code, event.reason, event.wasClean);
