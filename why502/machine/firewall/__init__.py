"""The rules of the packet filter in what nft(8) and iptables-save(8) write."""
