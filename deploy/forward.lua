-- Send each image that arrives to the receiver, by DIMSE or DICOMweb; the receiver's own results stay here.
-- Images that could not be sent are not sent again: the receiver asks for them (--poll).
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin["RemoteAet"] ~= "METSEG" then
    SendToModality(instanceId, "receiver")
  end
end
