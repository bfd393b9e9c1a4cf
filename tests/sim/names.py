"""The name server of a simulated provider: UDP and TCP, EDNS client subnet (RFC 7871), answers from a
function of the test's own."""

import ipaddress
import socket
import socketserver
import threading

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


def client_of(message, peer):
    """The client as the server sees it: its subnet if the resolver says so (RFC 7871), or the resolver."""
    for option in message.options:
        if isinstance(option, dns.edns.ECSOption) and option.srclen:
            return ipaddress.ip_address(option.address), option
    return ipaddress.ip_address(peer), None


class Names:
    """answer(qname, qtype, client) gives (rcode text, [dns.rrset.RRset], [authority]), or None for no
    answer at all; qname is absolute and in lower case, qtype as "A"."""

    def __init__(self, answer):
        self.answer, names = answer, self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                reply = names.reply(data, self.client_address[0], 1232)
                if reply:
                    sock.sendto(reply, self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self):
                """One question after the other, until the client has no more (RFC 7766)."""
                self.request.settimeout(10)
                while head := self.request.recv(2, socket.MSG_WAITALL):
                    data = self.request.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                    reply = names.reply(data, self.client_address[0], 65535)
                    if not reply:
                        return
                    self.request.sendall(len(reply).to_bytes(2, "big") + reply)

        self.servers = self.bind(Udp, Tcp)

    def bind(self, udp, tcp):
        """One port that is free for both."""
        while True:
            first = ThreadingTcp(("127.0.0.1", 0), tcp)
            self.port = first.server_address[1]
            try:
                return [first, ThreadingUdp(("127.0.0.1", self.port), udp)]
            except OSError:
                first.server_close()

    def __enter__(self):
        for s in self.servers:
            threading.Thread(target=s.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *exc):
        for s in self.servers:
            s.shutdown()
            s.server_close()

    def reply(self, data, peer, limit):
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        client, option = client_of(query, peer)
        found = self.answer(
            question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype), client
        )
        if found is None:
            return None
        rcode, answer, authority = found
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        reply.set_rcode(dns.rcode.from_text(rcode))
        reply.answer, reply.authority = list(answer), list(authority)
        if option:
            echo = dns.edns.ECSOption(option.address, option.srclen, option.srclen)
            reply.use_edns(0, options=[echo])
        try:
            return reply.to_wire(max_size=limit)
        except dns.exception.TooBig:
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.AA | dns.flags.TC
            return cut.to_wire()


class ThreadingUdp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = 4096


class ThreadingTcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that went away, or says nothing more
