// Two calls with Node's own fetch. The thread sleeps in between, as it does when a program computes: the timer of fetch,
// which closes a connection after four idle seconds, stands still, so the second call takes the first one's connection.
import { setTimeout as sleep } from 'node:timers/promises'

const [url, key, seconds] = process.argv.slice(2)

async function call() {
    const response = await fetch(url, { headers: { Authorization: `Bearer ${key}` } })
    await response.text()
    return response.status
}

const first = await call()
await sleep(100) // until fetch has put the connection back
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(seconds) * 1000)
console.log(first, await call())
