// Two turns over one WebSocket with Node's own client; prints the text of each on a line.
const [model] = process.argv.slice(2);
const socket = new WebSocket('wss://api.openai.com/v1/responses');
const ask = (turn) =>
  socket.send(JSON.stringify({ type: 'response.create', model, max_output_tokens: 1024, input: `Turn ${turn}.` }));
let turn = 1;
let text = '';
socket.onopen = () => ask(turn);
socket.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.type === 'response.output_text.delta') text += event.delta;
  if (event.type === 'error') {
    console.log('error', event.error.message);
    socket.close(1000);
  }
  if (event.type === 'response.completed') {
    console.log(text);
    text = '';
    turn += 1;
    if (turn > 2) socket.close(1000);
    else ask(turn);
  }
};
socket.onerror = (event) => console.log('error', event.message ?? event.error?.message);
