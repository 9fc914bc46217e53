package bundle

import (
	"os"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestMain(m *testing.M) {
	logrus.SetLevel(logrus.PanicLevel) // compose-go, the oracle, warns a lot
	os.Exit(m.Run())
}
