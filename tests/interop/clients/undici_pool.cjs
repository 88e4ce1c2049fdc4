// Two calls with undici's request, over an agent that keeps idle connections for a minute.
const { Agent, request } = require('undici')
const { setTimeout: sleep } = require('node:timers/promises')

const [url, key, seconds] = process.argv.slice(2)
const dispatcher = new Agent({ keepAliveTimeout: 60_000 })

async function call() {
    const { statusCode, body } = await request(url, { dispatcher, headers: { Authorization: `Bearer ${key}` } })
    await body.text()
    return statusCode
}

async function main() {
    const first = await call()
    await sleep(Number(seconds) * 1000)
    console.log(first, await call())
    await dispatcher.close()
}

main()
