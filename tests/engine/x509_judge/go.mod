module local/x509-judge

go 1.26.0
