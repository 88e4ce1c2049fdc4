"""The soak of the local server: many clients at once, each of which knows what it wrote, and kills while they write.

`run` starts `serve` as a process and sends it a bounded number of requests. What has to hold: no answer outside of the
ones that a request is for, each acknowledged write is there afterwards, each answer is whole and belongs to what was
asked, and the versions of an endpoint count up by one. With kills, the same holds across each SIGKILL and start; of a
request that was not answered, either all is there or nothing.
"""
