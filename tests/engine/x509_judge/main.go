// Verifies a server certificate with Go's crypto/x509, as Teleport's auth does: the bundle's certificates are all the
// roots there are, the name is one of the alternative names, and the use is a server's.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	bundle := flag.String("bundle", "", "PEM of what is trusted")
	chain := flag.String("chain", "", "PEM of what is served, the server's own first")
	host := flag.String("host", "", "the name that is dialled")
	at := flag.String("at", "", "the time, RFC 3339; now where it is left out")
	flag.Parse()
	if err := judge(*bundle, *chain, *host, *at); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("OK")
}

func judge(bundle, chain, host, at string) error {
	trusted, err := certificates(bundle)
	if err != nil {
		return err
	}
	served, err := certificates(chain)
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		DNSName:       host,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if at != "" {
		if options.CurrentTime, err = time.Parse(time.RFC3339, at); err != nil {
			return err
		}
	}
	for _, authority := range trusted {
		options.Roots.AddCert(authority)
	}
	for _, between := range served[1:] {
		options.Intermediates.AddCert(between)
	}
	_, err = served[0].Verify(options)
	return err
}

func certificates(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", path, len(found)+1, err)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no certificate", path)
	}
	return found, nil
}
